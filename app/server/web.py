"""The web server of `generate.py --serve`: which requests are let in, and what they are answered.

It listens on 127.0.0.1 alone, but every web page that the user's browser shows can send requests there. So

- the Host header has to name this machine: a foreign name that resolves to 127.0.0.1 (DNS rebinding) is refused;
- whatever changes or tells something needs the token that only a page of this server can read, and an Origin header,
  where there is one, has to be this server's;
- addresses are compared with a fixed list and the names of results, never with the file system;
- a request's size is checked before its body is read, and all of it has to arrive before a deadline;
- pages carry a content security policy that allows nothing from elsewhere.
"""

from __future__ import annotations

import hmac
import io
import json
import os
import re
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from app.options import LoopOptions
from app.server.animate import check_photo, requested_options
from app.server.jobs import Job, JobQueue, QueueFullError
from app.server.page import page

HOST = "127.0.0.1"
HOST_NAMES = ("127.0.0.1", "localhost")  # with any port, as a tunnel may use another one
BLOCK = 1 << 16
LONGEST_NAME = 120  # characters

FOLDER = Path(__file__).parent
STATIC = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}
RESULTS = {"loop.mp4": "video/mp4", "viewer.html": "text/html; charset=utf-8"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Without an origin of its own a result can't read this server's page, and with it the token, whatever is in it.
RESULT_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'none'"
HEADERS = {
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


class LoopServer(ThreadingHTTPServer):
    """The page, its jobs and their results at http://127.0.0.1:port/."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two programs have one port

    def __init__(self, port: int, *, limits: WebLimits) -> None:
        """Take the port (0: a free one); nothing is answered before :meth:`start`."""
        self.limits = limits
        self.token = secrets.token_urlsafe(32)
        self.jobs: JobQueue
        self.defaults: LoopOptions
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            advice = "stop what uses it or choose another one"
            raise ValueError(f"--port {port}: {error.strerror or error}; {advice}") from None

    def start(self, jobs: JobQueue, defaults: LoopOptions) -> None:
        """What requests are answered from."""
        self.jobs, self.defaults = jobs, defaults

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


class Handler(BaseHTTPRequestHandler):
    """One request: a connection serves no second one."""

    server: LoopServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Read with a deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(self._reader(self._limits.request_seconds))

    def version_string(self) -> str:
        """The Server header: which Python this is concerns nobody."""
        return "generate.py"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal: what is sent could hold control characters."""

    def handle_expect_100(self) -> bool:
        """The go-ahead for a body is given by :meth:`_receive`, after the checks."""
        return True

    def do_GET(self) -> None:
        """The page, its files, the jobs, a result."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """A photo."""
        self._answer(self._post)

    def do_DELETE(self) -> None:
        """A job that is not wanted any more."""
        self._answer(self._delete)

    @property
    def _limits(self) -> WebLimits:
        return self.server.limits

    def _reader(self, seconds: float) -> DeadlineReader:
        """Reads the connection for so many seconds."""
        return DeadlineReader(self.connection, seconds=seconds, idle_seconds=self._limits.idle_seconds)

    # What is asked for -----------------------------------------------------------------------------------------------

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._reply(
                page(self.server.token, self.server.defaults, self._limits.upload_bytes).encode(),
                "text/html; charset=utf-8",
            )
        elif path in STATIC:
            self._reply((FOLDER / path[1:]).read_bytes(), STATIC[path])
        elif path == "/jobs":
            self._check_token()
            self._reply_json({"jobs": [self._describe(job) for job in self.server.jobs.jobs()]})
        else:
            self._result(path)

    def _result(self, path: str) -> None:
        match = re.fullmatch(r"/jobs/([\w-]+)/([\w.]+)", path, re.ASCII)
        job = self.server.jobs.get(match[1]) if match else None
        file = job.files.get(match[2]) if match and job else None
        if not (match and job and file):
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page, or its time is over")
        try:
            opened = file.open("rb")
        except OSError:
            raise RefusedError(HTTPStatus.NOT_FOUND, "this result has been removed") from None
        with opened:
            size = os.fstat(opened.fileno()).st_size
            name = quote(f"{Path(job.name).stem or 'photo'}{file.suffix}", safe="")
            disposition = f"inline; filename*=UTF-8''{name}"
            self._head(HTTPStatus.OK, RESULTS[match[2]], size, RESULT_POLICY, {"Content-Disposition": disposition})
            shutil.copyfileobj(opened, self.wfile, BLOCK)

    def _post(self) -> None:
        address = urlsplit(self.path)
        if address.path != "/jobs":
            raise RefusedError(HTTPStatus.NOT_FOUND, "photos are sent to /jobs")
        self._check_token()
        length = self._length()
        query = dict(parse_qsl(address.query, max_num_fields=10))
        options = requested_options(self.server.defaults, query)
        with self.server.jobs.arrival(shown_name(query.get("name", "")), options) as job:
            self._receive(job.photo, length)
            try:
                check_photo(job)
            except ValueError as error:
                raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from None
        self._reply_json(self._describe(job), HTTPStatus.CREATED)

    def _delete(self) -> None:
        self._check_token()
        match = re.fullmatch(r"/jobs/([\w-]+)", urlsplit(self.path).path, re.ASCII)
        if not (match and self.server.jobs.remove(match[1])):
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such photo, or its time is over")
        self._reply_json({})

    def _describe(self, job: Job) -> dict:
        stage, done, total = job.stage
        told = {"id": job.id, "name": job.name, "state": job.state, "stage": stage, "done": done, "total": total}
        told |= {"error": job.error, "results": list(job.files) if job.state == "done" else [], **job.facts}
        return told | ({"place": self.server.jobs.place(job)} if job.state == "waiting" else {})

    # Checks ----------------------------------------------------------------------------------------------------------

    def _answer(self, method: Callable[[], None]) -> None:
        """Check where the request comes from, answer it, and close the connection."""
        self.close_connection = True
        try:
            self._check_source()
            method()
        except RefusedError as refusal:
            self._reply_error(refusal.status, str(refusal))
        except QueueFullError as error:
            self._reply_error(HTTPStatus.SERVICE_UNAVAILABLE, f"busy: {error}")
        except ValueError as error:
            self._reply_error(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            self._reply_error(HTTPStatus.INSUFFICIENT_STORAGE, f"the photo can't be kept ({error.strerror})")

    def _check_source(self) -> None:
        hosts = self.headers.get_all("Host") or [""]
        name = re.fullmatch(r"([\w.-]+)(:\d+)?", hosts[0], re.ASCII)
        if len(hosts) != 1 or not name or name[1].lower() not in HOST_NAMES:
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST, f"this server answers at http://{HOST}:{self.server.port}/"
            )
        for origin in self.headers.get_all("Origin") or []:
            if origin.lower() != f"http://{hosts[0].lower()}":
                raise RefusedError(HTTPStatus.FORBIDDEN, "requests from other sites are not answered")

    def _check_token(self) -> None:
        if not hmac.compare_digest(self.headers.get("X-Token", "").encode(), self.server.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "the page is older than this server; reload it")

    def _length(self) -> int:
        """Bytes of the body, checked before any of it is read."""
        lengths = self.headers.get_all("Content-Length") or []
        if "Transfer-Encoding" in self.headers or not lengths:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the size of the photo has to be sent first")
        if len(lengths) != 1 or not re.fullmatch(r"\d{1,15}", lengths[0].strip(), re.ASCII):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the size of the photo is no number")
        length = int(lengths[0])
        most = self._limits.upload_bytes
        if length > most:
            message = f"the photo is too large: {length / 1e6:.0f} MB, at most {most // 10**6} MB are taken"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        if length == 0:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the photo is empty")
        return length

    def _receive(self, path: Path, length: int) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        with path.open("wb") as file:
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
        self._reply_error(HTTPStatus(code), HTTPStatus(code).phrase)

    def _reply_error(self, status: HTTPStatus, message: str) -> None:
        self._reply_json({"error": message}, status)
        self._linger()

    def _reply_json(self, values: dict, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._reply(json.dumps(values).encode(), "application/json", status)

    def _reply(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(status, kind, len(body), PAGE_POLICY, {})
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int, policy: str, more: dict[str, str]) -> None:
        self.connection.settimeout(self._limits.idle_seconds)
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(length), "Content-Security-Policy": policy}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "20"
        for name, value in {**headers, **HEADERS, **more, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _linger(self) -> None:
        """Let the sender of a refused body read the answer: closing with unread bytes would cut it off."""
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            rest = self._reader(self._limits.linger_seconds)
            while rest.read(BLOCK):
                pass
        except OSError:
            return


def shown_name(name: str) -> str:
    """A photo's name as it is shown: one line of printable characters, none that changes the direction of text."""
    name = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in name if letter.isprintable())[:LONGEST_NAME].strip() or "photo"
