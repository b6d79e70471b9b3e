"""The web server of `generate.py --serve`: which requests are let in, and what they are answered.

It listens on 127.0.0.1 alone, but every web page that the user's browser shows can send requests there. So

- the Host header has to name this machine (`app.local`);
- a photo needs the token that only a page of this server can read, and an Origin header, where there is one, has to be
  this server's;
- addresses are compared with a fixed list, never with the file system;
- a request's size is checked before its body is read, and all of it has to arrive before a deadline;
- pages carry a content security policy that allows nothing from elsewhere.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING

from app.local import HOST, port_refused
from app.options import LoopOptions
from app.server.guard import WebLimits
from app.server.jobs import JobQueue
from app.server.page import page_manifest
from app.server.routes import Handler
from app.studio.source import page_files

if TYPE_CHECKING:
    from models.pipeline import ImageDynamicsPipeline


class LoopServer(ThreadingHTTPServer):
    """The studio's page, with this Python as its engine, at http://127.0.0.1:port/."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two programs have one port

    def __init__(self, port: int, *, limits: WebLimits) -> None:
        """Take the port (0: a free one); nothing is answered before :meth:`start`."""
        self.limits = limits
        self.token = secrets.token_urlsafe(32)
        self.pipeline: ImageDynamicsPipeline
        self.jobs: JobQueue
        self.defaults: LoopOptions
        self.manifest: dict
        self.files = page_files()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise port_refused(port, error) from None

    def start(self, pipeline: ImageDynamicsPipeline, jobs: JobQueue, defaults: LoopOptions) -> None:
        """What requests are answered from."""
        self.pipeline, self.jobs, self.defaults = pipeline, jobs, defaults
        most = self.limits.upload_bytes
        self.manifest = page_manifest(self.token, defaults, pipeline.motion_config, most_bytes=most)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.server_address[1]

    @property
    def connections(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._open)

    def server_bind(self) -> None:
        """Bind without looking the machine's name up, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: socket.socket, client_address: tuple) -> None:  # type: ignore[override]
        """A thread for each request, up to a number."""
        with self._lock:
            if len(self._open) >= self.limits.connections:
                request.close()
                return
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Called at the end of each request."""
        super().shutdown_request(request)
        with self._lock:
            self._open.discard(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Browsers drop connections as they like; everything else is a defect of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def disconnect(self) -> None:
        """Break off all requests, so that none writes a file any more; returns when they have ended."""
        end = time.monotonic() + self.limits.linger_seconds
        while time.monotonic() < end:
            with self._lock:
                if not self._open:
                    return
                for connection in self._open:
                    try:
                        connection.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        continue  # closed already
            time.sleep(0.02)
