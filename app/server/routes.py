"""What the page's server can be asked for: the studio's page, and work on a photo, whose answer tells how far it is.

The answer to a photo is a stream: lines of JSON, of which the last but a failed one is followed by the files made.

    {"stage": "motion", "done": 3, "total": 8}
    {"files": {"motion.safetensors": 5243000}, ...}     and then the files' bytes, one after the other
    {"error": "damaged image, save it again"}           instead

Whoever breaks the connection off cancels the work.
"""

from __future__ import annotations

import json
import re
import select
import shutil
import socket
from http import HTTPStatus
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, urlsplit

from app.server.animate import RENDERING, WORKS, attempt, check_photo, requested_options, requested_suffix
from app.server.guard import BLOCK, GuardedHandler, RefusedError
from app.server.jobs import CancelledError, Job
from app.studio.source import MANIFEST, MEDIA_TYPES

LONGEST_NAME = 120  # characters
STREAM = "application/octet-stream"
MOTION_BYTES = 50_000_000  # of a motion that is sent at most


class Handler(GuardedHandler):
    """Answers of one request, after the checks."""

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        """A file of the page."""
        self.answer(self._get)

    def do_POST(self) -> None:  # noqa: N802 - named by http.server
        """A photo, and what is wanted of it."""
        self.answer(self._post)

    def _get(self) -> None:
        name = urlsplit(self.path).path.removeprefix("/") or "index.html"
        if name == MANIFEST:
            return self.reply_json(self.server.manifest)
        if name not in self.server.files:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")
        self.reply(self.server.files[name], MEDIA_TYPES.get(PurePosixPath(name).suffix, "text/plain; charset=utf-8"))

    def _post(self) -> None:
        address = urlsplit(self.path)
        if address.path not in WORKS:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"photos are sent to {', '.join(WORKS)}")
        self.check_token()
        renders = address.path == RENDERING
        length = self.body_length(MOTION_BYTES if renders else 0)
        query = dict(parse_qsl(address.query, max_num_fields=10))
        options = requested_options(self.server.defaults, query, self.server.pipeline.motion_config)
        motion = motion_length(query, length) if renders else 0
        name, suffix = shown_name(query.get("name", "")), requested_suffix(query)
        with self.server.jobs.place(name, options, suffix=suffix, hear=self.hear) as job:
            self.receive({job.photo: length - motion} | ({job.motion: motion} if motion else {}))
            try:
                check_photo(job)
            except ValueError as error:
                raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from None
            self.head(HTTPStatus.OK, STREAM, None)
            try:
                self._work(job, address.path)
            except CancelledError:
                return

    def _work(self, job: Job, path: str) -> None:
        with self.server.jobs.turn(job):
            error = attempt(WORKS[path], self.server.pipeline, job)
        if error:
            return self.tell({"error": error})
        self.tell({"files": {name: file.stat().st_size for name, file in job.files.items()}, **job.facts})
        for file in job.files.values():
            with file.open("rb") as opened:
                shutil.copyfileobj(opened, self.wfile, BLOCK)

    def hear(self, stage: str, done: int, total: int) -> None:
        """Tell the page how far the work is; raises CancelledError where it has gone."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise CancelledError
        self.tell({"stage": stage, "done": done, "total": total})

    def tell(self, message: dict) -> None:
        """A line of the answer."""
        self.wfile.write(json.dumps(message).encode() + b"\n")


def shown_name(name: str) -> str:
    """A photo's name as it is shown: one line of printable characters, none that changes the direction of text."""
    name = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in name if letter.isprintable())[:LONGEST_NAME].strip() or "photo"


def motion_length(query: dict[str, str], length: int) -> int:
    """Bytes of the motion, which comes after the photo in the body of a request."""
    if not re.fullmatch(r"\d{1,15}", query.get("photo_bytes", ""), re.ASCII):
        raise ValueError("photo_bytes: expected the size of the photo, after which the motion comes")
    motion = length - int(query["photo_bytes"])
    if not 0 < motion < length:
        raise ValueError("photo_bytes: expected a photo and a motion after it")
    return motion
