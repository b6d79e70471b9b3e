"""A built page on this machine: static files at 127.0.0.1, with the headers that let it compute on several threads."""

from __future__ import annotations

import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from app.local import HOST, local_host, port_refused
from app.studio.source import MANIFEST, MEDIA_TYPES

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder; nothing is listed, and foreign names of this machine are refused."""

    extensions_map: dict[str, str] = {**SimpleHTTPRequestHandler.extensions_map, **MEDIA_TYPES}  # noqa: RUF012 - as the base class has it

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""

    def parse_request(self) -> bool:
        """Refuse hosts that only resolve to this machine."""
        if not super().parse_request():
            return False
        if local_host(self.headers):
            return True
        self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        return False

    def list_directory(self, path: Any) -> None:
        """No lists of files."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """With :data:`HEADERS`."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()


def studio_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a built page that listens already; port 0 takes a free one.

    Raises:
        ValueError: no build in this folder, or a port that is taken.
    """
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder}: no studio there; python -m app.studio build {folder} makes one")
    try:
        server = ThreadingHTTPServer((HOST, port), partial(Handler, directory=str(folder)))
    except OSError as error:
        raise port_refused(port, error) from None
    server.daemon_threads = True
    return server


def serve(folder: Path, *, port: int) -> None:
    """Serve a built page until Ctrl-C."""
    with studio_server(folder, port) as server:
        print(f"http://{HOST}:{server.server_address[1]}/   (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)
