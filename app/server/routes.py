"""What the page's server can be asked for: the page and its files, jobs, and their results."""

from __future__ import annotations

import os
import re
import shutil
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from app.server.animate import check_photo, requested_options
from app.server.guard import BLOCK, GuardedHandler, RefusedError
from app.server.jobs import Job
from app.server.page import page
from common.page import page_style

LONGEST_NAME = 120  # characters
FOLDER = Path(__file__).parent
RESULTS = {"loop.mp4": "video/mp4", "viewer.html": "text/html; charset=utf-8"}
# Without an origin of its own a result can't read this server's page, and with it the token, whatever is in it.
RESULT_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'none'"


class Handler(GuardedHandler):
    """Answers of one request, after the checks."""

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        """The page, its files, the jobs, a result."""
        self.answer(self._get)

    def do_POST(self) -> None:  # noqa: N802 - named by http.server
        """A photo."""
        self.answer(self._post)

    def do_DELETE(self) -> None:  # noqa: N802 - named by http.server
        """A job that is not wanted any more."""
        self.answer(self._delete)

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self.reply(
                page(
                    self.server.token,
                    self.server.defaults,
                    most_bytes=self.limits.upload_bytes,
                    wind=self.server.wind,
                ).encode(),
                "text/html; charset=utf-8",
            )
        elif path == "/page.css":
            self.reply(page_style(FOLDER / "page.css").encode(), "text/css; charset=utf-8")
        elif path == "/page.js":
            self.reply((FOLDER / "page.js").read_bytes(), "text/javascript; charset=utf-8")
        elif path == "/jobs":
            self.check_token()
            self.reply_json({"jobs": [self._describe(job) for job in self.server.jobs.jobs()]})
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
            self.head(HTTPStatus.OK, RESULTS[match[2]], size, RESULT_POLICY, {"Content-Disposition": disposition})
            shutil.copyfileobj(opened, self.wfile, BLOCK)

    def _post(self) -> None:
        address = urlsplit(self.path)
        if address.path != "/jobs":
            raise RefusedError(HTTPStatus.NOT_FOUND, "photos are sent to /jobs")
        self.check_token()
        length = self.body_length()
        query = dict(parse_qsl(address.query, max_num_fields=10))
        options = requested_options(self.server.defaults, query)
        with self.server.jobs.arrival(shown_name(query.get("name", "")), options) as job:
            self.receive(job.photo, length)
            try:
                check_photo(job)
            except ValueError as error:
                raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from None
        self.reply_json(self._describe(job), HTTPStatus.CREATED)

    def _delete(self) -> None:
        self.check_token()
        match = re.fullmatch(r"/jobs/([\w-]+)", urlsplit(self.path).path, re.ASCII)
        if not (match and self.server.jobs.remove(match[1])):
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such photo, or its time is over")
        self.reply_json({})

    def _describe(self, job: Job) -> dict:
        stage, done, total = job.stage
        told = {"id": job.id, "name": job.name, "state": job.state, "stage": stage, "done": done, "total": total}
        told |= {"error": job.error, "results": list(job.files) if job.state == "done" else [], **job.facts}
        return told | ({"place": self.server.jobs.place(job)} if job.state == "waiting" else {})


def shown_name(name: str) -> str:
    """A photo's name as it is shown: one line of printable characters, none that changes the direction of text."""
    name = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in name if letter.isprintable())[:LONGEST_NAME].strip() or "photo"
