"""What the tests of the server share: a server on a free port with tiny models, and its client."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from PIL import Image

import generate
from app.server.guard import WebLimits
from app.server.serve import DEFAULT_WEB_LIMITS, loop_server
from app.server.web import LoopServer
from helpers.motion_models import tiny_model, tiny_renderer
from models.motion.model import MotionModel
from models.pipeline import ImageDynamicsPipeline

OPTIONS = ["--steps", "2", "--num-frames", "6", "--fps", "6", "--renderer", "softmax"]
OPTIONS += ["--magnify", "8"]  # of the random motion of an untrained model
HOSTILE = "../..\\<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b\x1b[31m\u202egpj.exe\"'&.png"


class GatedPipeline(ImageDynamicsPipeline):
    """The real pipeline, which waits before sampling while its gate is closed, as a slow model would."""

    def __init__(self, motion: MotionModel | None = None) -> None:
        super().__init__(motion or tiny_model(), tiny_renderer())
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def predict_motion(self, *arguments, progress=None, **options):
        if self.error:
            raise self.error
        while not self.gate.wait(0.01):
            progress(0, 2)
        return super().predict_motion(*arguments, progress=progress, **options)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Sent:
    """A photo that was sent, and its answer as it comes; closing it is what a page does that goes away."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        self.response = connection.getresponse()
        self.status, self.headers = self.response.status, dict(self.response.getheaders())

    def line(self) -> dict:
        return json.loads(self.response.readline())

    def until(self, stage: str) -> dict:
        """The first line about this stage."""
        while (told := self.line()).get("stage") != stage:
            assert "stage" in told, told
        return told

    def result(self) -> dict:
        """The last line; files are their contents."""
        while "stage" in (told := self.line()):
            pass
        if "files" in told:
            told["files"] = {name: self.response.read(size) for name, size in told["files"].items()}
        assert self.response.read() == b""
        self.close()
        return told

    @property
    def error(self) -> str:
        """Why it was refused."""
        return json.loads(self.response.read())["error"]

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@dataclass
class Client:
    """What the page does, by hand."""

    server: LoopServer
    pipeline: GatedPipeline
    folder: Path  # that temporary folders are made in

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> Answer:
        connection = self._request(method, path, body, **headers)
        try:
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def send(self, photo: bytes, kind: str = "motion", name: str = "photo.png", **options: object) -> Sent:
        """Send a photo; the answer begins when it has arrived."""
        return Sent(self._request("POST", f"/{kind}?" + urlencode({"name": name, **options}), photo))

    def send_until(self, stage: str, **told: int) -> Sent:
        """Send a photo that comes to a stage: of two sent at once either may be the first in the queue."""
        sent = self.send(picture())
        line = sent.until(stage)
        assert line == {**line, **told}
        return sent

    def render(self, photo: bytes, motion: bytes, **options: object) -> Sent:
        """Send a photo and its motion."""
        return self.send(photo + motion, "loop", photo_bytes=len(photo), **options)

    def motion(self, photo: bytes, **options: object) -> bytes:
        """The file of a sampled motion."""
        return self.send(photo, **options).result()["files"]["motion.safetensors"]

    def _request(self, method: str, path: str, body: bytes | None, **headers: str | None) -> HTTPConnection:
        given = {"X-Token": self.server.token, **{name.replace("_", "-"): text for name, text in headers.items()}}
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=300)
        connection.request(method, path, body, {name: text for name, text in given.items() if text is not None})
        return connection

    def stored(self) -> list[str]:
        """Files and folders of jobs."""
        # What vanishes while it is listed is passed over by `os.walk`, and not by `glob`.
        found = [Path(place, name) for place, folders, files in os.walk(self.folder) for name in (*folders, *files)]
        paths = [path.relative_to(self.folder) for path in found]
        return sorted(str(path) for path in paths if len(path.parts) > 1)

    def post(self, headers: str = "", body: bytes = b"") -> socket.socket:
        """Begin to send a photo by hand."""
        head = f"POST /motion HTTP/1.1\r\nHost: localhost\r\nX-Token: {self.server.token}\r\n{headers}\r\n"
        return self.raw(head.encode() + body)

    def raw(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
        connection.sendall(data)
        return connection


def status_of(connection: socket.socket) -> int:
    """Status of the answer, 0 for a connection that is closed without one."""
    with connection:
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return int(answer.split()[1]) if answer else 0


def until(condition: Callable[[], object], seconds: float = 60.0):
    """What the condition gives once that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return value


def picture(width: int = 64, height: int = 48, form: str = "PNG") -> bytes:
    y, x = np.mgrid[:height, :width] / 12
    values = (127 + 120 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, form)
    return file.getvalue()


@contextmanager
def start_server(
    pipeline: GatedPipeline,
    folder: Path,
    waiting: int = 4,
    *,
    web_limits: WebLimits = DEFAULT_WEB_LIMITS,
    options: tuple[str, ...] = (),
) -> Iterator[Client]:
    """A server that answers; ``folder`` is the one that temporary folders are made in."""
    pipeline.gate.set()
    pipeline.error = None
    defaults, _ = generate.read_options(generate.build_parser().parse_args(["--serve", *OPTIONS, *options]))
    with loop_server(
        defaults, port=0, load=lambda: pipeline, waiting=waiting, web_limits=web_limits, folder=folder
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Client(server, pipeline, folder)
        finally:
            server.shutdown()
            thread.join()
