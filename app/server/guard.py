"""What every request of the page's server has to pass before it is answered, and how answers are sent."""

from __future__ import annotations

import hmac
import io
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from app.local import HOST, local_host
from app.server.jobs import QueueFullError

if TYPE_CHECKING:
    from app.server.web import LoopServer

BLOCK = 1 << 16

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class WebLimits:
    """What one sender may take of the server at most."""

    upload_bytes: int = 50_000_000
    connections: int = 24
    idle_seconds: float = 15.0  # without a byte
    request_seconds: float = 60.0  # until a request has arrived
    linger_seconds: float = 2.0  # until the sender of a refused upload has noticed


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class DeadlineReader(io.RawIOBase):
    """Reads a connection until a deadline: one that sends a byte now and then can't hold its thread for long."""

    def __init__(self, connection: socket.socket, *, seconds: float, idle_seconds: float) -> None:
        super().__init__()
        self._connection, self._idle_seconds = connection, idle_seconds
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `socket.recv_into`; raises TimeoutError after the deadline."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(min(left, self._idle_seconds))
        return self._connection.recv_into(buffer)


class GuardedHandler(BaseHTTPRequestHandler):
    """One request and its checks; a connection serves no second one."""

    server: LoopServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Read with a deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(self.reader(self.limits.request_seconds))

    def version_string(self) -> str:
        """The Server header: which Python this is concerns nobody."""
        return "generate.py"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal: what is sent could hold control characters."""

    def handle_expect_100(self) -> bool:
        """The go-ahead for a body is given by :meth:`receive`, after the checks."""
        return True

    @property
    def limits(self) -> WebLimits:
        return self.server.limits

    def reader(self, seconds: float) -> DeadlineReader:
        """Reads the connection for so many seconds."""
        return DeadlineReader(self.connection, seconds=seconds, idle_seconds=self.limits.idle_seconds)

    # Checks ----------------------------------------------------------------------------------------------------------

    def answer(self, method: Callable[[], None]) -> None:
        """Check where the request comes from, answer it, and close the connection."""
        self.close_connection = True
        try:
            self.check_source()
            method()
        except RefusedError as refusal:
            self.reply_error(refusal.status, str(refusal))
        except QueueFullError as error:
            self.reply_error(HTTPStatus.SERVICE_UNAVAILABLE, f"busy: {error}")
        except ValueError as error:
            self.reply_error(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            self.reply_error(HTTPStatus.INSUFFICIENT_STORAGE, f"the photo can't be kept ({error.strerror})")

    def check_source(self) -> None:
        host = local_host(self.headers)
        if host is None:
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST, f"this server answers at http://{HOST}:{self.server.port}/"
            )
        for origin in self.headers.get_all("Origin") or []:
            if origin.lower() != f"http://{host}":
                raise RefusedError(HTTPStatus.FORBIDDEN, "requests from other sites are not answered")

    def check_token(self) -> None:
        if not hmac.compare_digest(self.headers.get("X-Token", "").encode(), self.server.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "the page is older than this server; reload it")

    def body_length(self, more: int = 0) -> int:
        """Bytes of the body, checked before any of it is read; ``more`` than a photo may have."""
        lengths = self.headers.get_all("Content-Length") or []
        if "Transfer-Encoding" in self.headers or not lengths:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the size of the photo has to be sent first")
        if len(lengths) != 1 or not re.fullmatch(r"\d{1,15}", lengths[0].strip(), re.ASCII):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the size of the photo is no number")
        length = int(lengths[0])
        most = self.limits.upload_bytes
        if length > most + more:
            message = f"the photo is too large: {length / 1e6:.0f} MB, at most {most // 10**6} MB are taken"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        if length == 0:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the photo is empty")
        return length

    def receive(self, parts: Mapping[Path, int]) -> None:
        """Give the go-ahead where one is waited for, and write the body to files of so many bytes each."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        for path, length in parts.items():
            with path.open("wb") as file:
                self._receive(file, length)

    def _receive(self, file: BinaryIO, length: int) -> None:
        while length:
            block = self.rfile.read(min(length, BLOCK))
            if not block:
                raise RefusedError(HTTPStatus.BAD_REQUEST, "the photo did not arrive whole; send it again")
            file.write(block)
            length -= len(block)

    # Answers ---------------------------------------------------------------------------------------------------------

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests that http.server itself refuses; its own page would repeat what was sent."""
        self.close_connection = True
        self.reply_error(HTTPStatus(code), HTTPStatus(code).phrase)

    def reply_error(self, status: HTTPStatus, message: str) -> None:
        self.reply_json({"error": message}, status)
        self.linger()

    def reply_json(self, values: dict, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.reply(json.dumps(values).encode(), "application/json", status)

    def reply(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.head(status, kind, len(body))
        self.wfile.write(body)

    def head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
        """Status and headers; without a length the answer lasts until the connection is closed."""
        self.connection.settimeout(self.limits.idle_seconds)
        self.send_response(status)
        headers = {"Content-Type": kind, **HEADERS, "Connection": "close"}
        if length is not None:
            headers["Content-Length"] = str(length)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "20"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def linger(self) -> None:
        """Let the sender of a refused body read the answer: closing with unread bytes would cut it off."""
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            rest = self.reader(self.limits.linger_seconds)
            while rest.read(BLOCK):
                pass
        except OSError:
            return
