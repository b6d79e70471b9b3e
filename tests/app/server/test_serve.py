"""The server of generate.py --serve: real requests on a free port, answered with tiny models."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.local_server import HOSTILE, OPTIONS, Client, GatedPipeline, picture, start_server, until

import generate
from app.server import web
from app.server.animate import LoopOptions, shrink
from app.server.jobs import Limits
from app.server.web import shown_name
from data.media.read_video import read_video


def trickle(connection: socket.socket) -> None:
    """A byte now and then."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        connection.sendall(b"x")
        time.sleep(0.05)


def status_of(connection: socket.socket) -> int:
    """Status of the answer, 0 for a connection that is closed without one."""
    with connection:
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return int(answer.split()[1]) if answer else 0


@pytest.fixture(scope="module")
def pipeline() -> GatedPipeline:
    return GatedPipeline()


@pytest.fixture
def serving(pipeline, tmp_path, monkeypatch) -> Callable[..., AbstractContextManager[Client]]:
    """Starts a server whose temporary folder is made in an empty one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return partial(start_server, pipeline, tmp_path)


@pytest.fixture
def client(serving) -> Iterator[Client]:
    with serving() as client:
        yield client


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header says so many pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


# From a photo to a loop -----------------------------------------------------------------------------------------------


def test_a_photo_comes_back_as_a_loop_and_its_progress_is_told(client, tmp_path):
    client.pipeline.gate.clear()
    sent = client.send(picture(), "my rose.png")
    assert sent.status == 201
    identity = sent.json["id"]
    until(lambda: client.jobs()[identity]["stage"] == "motion")
    told = client.jobs()[identity]
    assert (told["name"], told["state"], told["done"], told["total"]) == ("my rose.png", "running", 0, 2)
    assert client.ask("GET", f"/jobs/{identity}/loop.mp4").status == 404  # not yet
    client.pipeline.gate.set()
    job = client.wait(identity)
    assert (job["state"], job["size"], job["frames"], job["duration"]) == ("done", [64, 48], 6, 1.0)
    assert job["results"] == ["loop.mp4", "viewer.html"]
    loop = client.ask("GET", f"/jobs/{identity}/loop.mp4", X_Token=None)  # a video element can't send a token
    assert (loop.status, loop.headers["Content-Type"]) == (200, "video/mp4")
    assert loop.headers["Content-Disposition"] == "inline; filename*=UTF-8''my%20rose.mp4"
    (tmp_path / "loop.mp4").write_bytes(loop.body)
    frames, fps = read_video(tmp_path / "loop.mp4")
    assert (frames.shape, fps) == ((6, 48, 64, 3), pytest.approx(6))
    assert np.abs(frames.astype(int) - frames[0].astype(int)).max() > 20  # it moves
    viewer = client.ask("GET", f"/jobs/{identity}/viewer.html", X_Token=None)
    assert (viewer.status, viewer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>my rose</title>" in viewer.body.decode()
    assert not [name for name in client.stored() if name.endswith("photo")]  # only results are kept


def test_a_motion_that_stands_still_gives_a_loop_and_says_why_there_is_no_viewer(client, monkeypatch):
    sampled = GatedPipeline.predict_motion
    monkeypatch.setattr(GatedPipeline, "predict_motion", lambda *args, **options: 0 * sampled(*args, **options))
    job = client.wait(client.send(picture()).json["id"])
    assert (job["state"], job["results"]) == ("done", ["loop.mp4"])
    assert job["no_viewer"]
    assert client.ask("GET", f"/jobs/{job['id']}/viewer.html").status == 404


def test_amplitude_size_and_seed_are_taken_from_the_request(client, tmp_path):
    def loop(**options: object) -> np.ndarray:
        job = client.wait(client.send(picture(600, 300), **options).json["id"])
        (tmp_path / "a.mp4").write_bytes(client.ask("GET", f"/jobs/{job['id']}/loop.mp4").body)
        return read_video(tmp_path / "a.mp4")[0].astype(int)

    still, first, again, other = loop(magnify=0, size=256), loop(size=256), loop(size=256, seed=0), loop(seed=5)
    assert still.shape == first.shape == (6, 128, 256, 3)
    assert other.shape == (6, 256, 512, 3)
    assert np.abs(still - still[0]).max() < 20 < np.abs(first - first[0]).max()
    assert np.array_equal(first, again)
    assert not np.array_equal(other[:, ::2, ::2], first)


def test_large_photos_are_shrunk_before_they_are_worked_with():
    large = np.zeros((2000, 5000, 3), np.uint8)
    assert shrink(large, 2048).shape == (820, 2048, 3)
    assert shrink(large, 5000) is large


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": "-1"}, "seed"),
        ({"seed": "1" * 5000}, "seed"),
        ({"magnify": "nan"}, "magnify: expected"),
        ({"magnify": "1e9"}, "magnify: expected"),
        ({"magnify": "x"}, "magnify: expected"),
        ({"size": "4000"}, "size: expected one of 256, 512, 1024"),
        ({f"o{index}": "" for index in range(20)}, "fields"),
    ],
)
def test_options_out_of_range_are_refused(client, options, complaint):
    answer = client.send(picture(), **options)
    assert answer.status == 400
    assert complaint in answer.json["error"]
    assert client.jobs() == {}


# Photos that are none -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "complaint"),
    [
        (b"no picture at all", "not a photo"),
        (picture(form="GIF"), "not a photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n", "not a photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a photo"),
        (picture(8, 8), "8x8 pixels are too few"),
        (picture()[:20], "photo"),
        (bomb(9000, 9000), "9000x9000 pixels, at most 64 megapixels"),
        (bomb(60000, 60000), "more than 64 megapixels"),
    ],
    ids=["text", "gif", "eps", "svg", "small", "header", "large", "bomb"],
)
def test_what_is_no_photo_is_refused_and_leaves_nothing(client, photo, complaint):
    answer = client.send(photo)
    assert answer.status == 415
    assert complaint in answer.json["error"]
    assert str(client.folder) not in answer.json["error"]
    assert client.jobs() == {}
    assert client.stored() == []


def test_a_truncated_photo_fails_and_the_next_one_works(client):
    cut = client.wait(client.send(picture(400, 300)[:-2000], "cut.png").json["id"])
    assert cut["state"] == "failed"
    assert "damaged image, save it again" in cut["error"]
    assert str(client.folder) not in cut["error"]
    assert client.wait(client.send(picture(form="JPEG")).json["id"])["state"] == "done"


def test_an_error_of_ours_is_told_in_one_line_and_the_next_photo_works(client, capfd):
    client.pipeline.error = RuntimeError("secret detail")
    job = client.wait(client.send(picture()).json["id"])
    assert job["state"] == "failed"
    assert "secret detail" not in job["error"]
    assert "secret detail" in capfd.readouterr().err
    client.pipeline.error = None
    assert client.wait(client.send(picture()).json["id"])["state"] == "done"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client, monkeypatch):
    start = time.monotonic()
    assert status_of(client.post(f"Content-Length: {web.MOST_BYTES + 1}\r\n")) == 413
    assert status_of(client.post("Expect: 100-continue\r\nContent-Length: 999999999\r\n")) == 413
    assert time.monotonic() - start < 2 * web.LINGER_SECONDS + 2
    monkeypatch.setattr(web, "MOST_BYTES", 100_000)
    answer = client.send(bytes(3_000_000))  # the answer arrives although nobody reads the body
    assert answer.status == 413
    assert "3 MB" in answer.json["error"]
    assert client.stored() == []


def test_the_go_ahead_for_a_body_is_given_after_the_checks(client):
    photo = picture()
    connection = client.post(f"Expect: 100-continue\r\nContent-Length: {len(photo)}\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue")
    connection.sendall(photo)
    assert status_of(connection) == 201


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 411),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 411),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 0\r\n", 400),
        ("Content-Length: 5_0\r\n", 400),
    ],
)
def test_a_body_without_a_clear_size_is_refused(client, headers, status, monkeypatch):
    monkeypatch.setattr(web, "LINGER_SECONDS", 0.1)
    assert status_of(client.post(headers)) == status


# Requests that don't come from the page -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1", ""])
@pytest.mark.parametrize("path", ["/", "/page.js", "/jobs"])
def test_a_foreign_host_name_is_refused(client, host, path):
    for name in (host, f"{host}:{client.server.port}"):
        answer = client.ask("GET", path, Host=name)
        assert answer.status == 421
        assert client.server.token not in answer.body.decode()


def test_host_headers_missing_or_twice_are_refused(client):
    assert status_of(client.raw(b"GET / HTTP/1.1\r\n\r\n")) == 421
    assert status_of(client.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")) == 421
    assert client.ask("GET", "/", Host="localhost:9").status == 200  # as through a tunnel


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_wrong_token_or_origin_is_refused(client, method):
    path = "/jobs/x" if method == "DELETE" else "/jobs"
    body = picture() if method == "POST" else None
    for token in (None, "", "wrong", client.server.token[:-1], "ü"):
        token = token if token is None else token.encode("utf-8").decode("latin-1")
        assert client.ask(method, path, body, X_Token=token).status == 403
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{client.server.port}", "http://127.0.0.1:1"):
        assert client.ask(method, path, body, Origin=origin).status == 403
    own = client.ask(method, path, body, Origin=f"http://127.0.0.1:{client.server.port}")
    assert own.status == {"GET": 200, "POST": 201, "DELETE": 404}[method]


def test_only_this_machine_can_connect(client):
    assert client.server.server_address[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):  # another of this machine's addresses
        socket.create_connection(("127.0.0.2", client.server.port), timeout=5)


@pytest.mark.parametrize(
    "path",
    [
        "/../generate.py", "/..%2f..%2fetc/passwd", "/page.py", "/page_template.html", "/jobs/../jobs.py",
        "//page.css/", "/jobs/ID/photo", "/jobs/ID/../ID/loop.mp4", "/jobs/ID/loop.mp4%00", "/jobs/ID/", "/jobs/ID",
        "/jobs/../../x",
    ],
)  # fmt: skip
def test_paths_lead_nowhere_but_to_results(client, path):
    identity = client.send(picture()).json["id"]
    client.wait(identity)
    answer = client.ask("GET", path.replace("ID", identity))
    assert answer.status == 404
    assert answer.json["error"]


def test_methods_and_requests_that_make_no_sense(client):
    for method in ("PUT", "HEAD", "OPTIONS", "PATCH", "<b>"):
        assert client.ask(method, "/jobs").status == 501
    assert client.send(picture()).status == 201
    assert client.ask("POST", "/", picture()).status == 404
    connection = client.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03<script>\r\n\r\n")  # https
    with connection:
        assert b"<script>" not in connection.recv(65536)
    assert status_of(client.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n")) == 431


def test_every_answer_forbids_what_is_not_needed(client):
    identity = client.send(picture()).json["id"]
    client.wait(identity)
    for path in ("/", "/page.js", "/page.css", "/jobs", f"/jobs/{identity}/viewer.html", "/nothing"):
        headers = client.ask("GET", path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Python" not in headers["Server"]
    policy = client.ask("GET", "/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.ask("GET", f"/jobs/{identity}/loop.mp4").headers["Content-Security-Policy"].startswith("sandbox ")


def test_a_hostile_file_name_is_only_text(client, capfd):
    job = client.wait(client.send(picture(), HOSTILE).json["id"])
    assert job["name"] == "<img src=x onerror=alert(1)>Set-Cookie: a=b[31mgpj.exe\"'&.png"
    answer = client.ask("GET", f"/jobs/{job['id']}/loop.mp4")
    assert "Set-Cookie" not in answer.headers
    assert re.fullmatch(r"inline; filename\*=UTF-8''[\w.%-]+\.mp4", answer.headers["Content-Disposition"], re.ASCII)
    assert "<img src=x" not in client.ask("GET", f"/jobs/{job['id']}/viewer.html").body.decode()
    assert "onerror" not in client.ask("GET", "/").body.decode()
    assert client.ask("GET", "/jobs").headers["Content-Type"] == "application/json"
    script = (Path(web.__file__).parent / "page.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert capfd.readouterr().err == ""  # nor on the terminal


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "photo"), ("C:\\a\\b.jpg", "b.jpg"), ("../../etc/passwd", "passwd"), ("a\nb", "ab"), ("..", ".."),
     ("x" * 500, "x" * web.LONGEST_NAME), ("\u200f\u202e", "photo"), ("Blüte 花.jpg", "Blüte 花.jpg")],
)  # fmt: skip
def test_shown_names(name, shown):
    assert shown_name(name) == shown


# Queue, cancelling, limits --------------------------------------------------------------------------------------------


def test_a_full_queue_says_busy_before_the_body_is_read(serving):
    with serving(Limits(waiting=2)) as client:
        client.pipeline.gate.clear()
        running = client.send(picture()).json["id"]
        client.wait(running, "running")
        waiting = [client.send(picture()).json["id"] for _ in range(2)]
        assert [client.jobs()[identity]["place"] for identity in waiting] == [1, 2]
        refused = client.send(picture())
        assert refused.status == 503
        assert "busy: 2 photos are waiting" in refused.json["error"]
        assert int(refused.headers["Retry-After"]) > 0
        assert len(client.jobs()) == 3
        client.pipeline.gate.set()
        assert [client.wait(identity)["state"] for identity in (running, *waiting)] == ["done"] * 3
        assert client.send(picture()).status == 201


def test_photos_on_their_way_take_places_too(serving):
    with serving(Limits(waiting=1)) as client:
        slow = client.post("Content-Length: 900\r\n", b"half")
        until(lambda: client.stored())
        assert client.send(picture()).status == 503
        slow.close()  # given up
        until(lambda: client.stored() == [])
        assert client.send(picture()).status == 201


def test_cancelling(client):
    client.pipeline.gate.clear()
    running, waiting, last = (client.send(picture()).json["id"] for _ in range(3))
    client.wait(running, "running")
    assert client.ask("DELETE", f"/jobs/{waiting}").status == 200
    assert set(client.jobs()) == {running, last}
    assert client.ask("DELETE", f"/jobs/{running}").status == 200
    client.wait(last, "running")  # although the gate is closed: the first one has let go
    assert set(client.jobs()) == {last}
    assert not [name for name in client.stored() if running in name or waiting in name]
    client.pipeline.gate.set()
    assert client.wait(last)["state"] == "done"
    assert client.ask("DELETE", f"/jobs/{last}").status == 200  # a result that is not wanted any more
    assert client.ask("DELETE", f"/jobs/{last}").status == 404
    assert client.stored() == []


@pytest.mark.parametrize("limits", [Limits(kept=1), Limits(kept_bytes=1)], ids=["number", "bytes"])
def test_old_results_make_room(serving, limits):
    with serving(limits) as client:
        first = client.send(picture()).json["id"]
        client.wait(first)
        second = client.send(picture()).json["id"]
        until(lambda: set(client.jobs()) == {second})
        assert client.wait(second)["state"] == "done"
        assert client.ask("GET", f"/jobs/{first}/loop.mp4").status == 404
        assert not [name for name in client.stored() if first in name]


def test_results_expire(serving):
    with serving(Limits(kept_seconds=0.5)) as client:
        identity = client.send(picture()).json["id"]
        until(lambda: client.stored())
        until(lambda: identity not in client.jobs())
        assert client.ask("GET", f"/jobs/{identity}/loop.mp4").status == 404
        assert client.stored() == []


def test_a_sender_that_trickles_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.5)
    start = time.monotonic()
    for connection in (client.post("Content-Length: 900\r\n"), client.raw(b"GET / HTTP/1.1\r\nX-Long: ")):
        with pytest.raises(ConnectionError):
            trickle(connection)
        connection.close()
    assert time.monotonic() - start < 10
    until(lambda: client.stored() == [])


def test_there_are_no_more_connections_than_allowed(client, monkeypatch):
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 2)
    idle = [client.raw(b"GET") for _ in range(2)]
    until(lambda: len(client.server._open) == 2)
    with client.raw(b"") as third:
        assert third.recv(10) == b""  # closed at once
    for connection in idle:
        connection.close()
    until(lambda: not client.server._open)
    assert client.ask("GET", "/").status == 200


# The page, start and stop ---------------------------------------------------------------------------------------------


def test_the_page_shows_the_command_lines_defaults(serving):
    with serving(options=("--seed", "7", "--magnify", "4.5", "--size", "320x200")) as client:
        page = client.ask("GET", "/", X_Token=None).body.decode()
        assert f'content="{client.server.token}"' in page
        assert re.search(r'id="seed"[^>]* value="7"', page)
        assert re.search(r'id="magnify"[^>]* max="4.5"[^>]* value="4.5"', page)
        assert '<option value="" selected>320x200, as started</option>' in page
        job = client.wait(client.send(picture(400, 300)).json["id"])
        assert (job["size"], job["seed"], job["magnify"]) == ([320, 200], 7, 4.5)
    with serving() as client:
        assert '<option value="512" selected>medium, 512 px</option>' in client.ask("GET", "/").body.decode()


def test_ending_the_server_removes_everything_even_in_the_middle_of_work(serving, tmp_path):
    with serving() as client:
        client.wait(client.send(picture()).json["id"])
        client.pipeline.gate.clear()
        client.wait(client.send(picture()).json["id"], "running")
        client.send(picture())
        sending = client.post("Content-Length: 900\r\n", b"half")
        until(lambda: len(client.stored()) >= 8)  # a folder and a file for each of the four
        start = time.monotonic()
    assert time.monotonic() - start < 10
    sending.close()
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "animate"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_a_signal_ends_the_script_and_removes_the_folder(pipeline, tmp_path, ending):
    checkpoint, temporary = tmp_path / "checkpoint", tmp_path / "temporary"
    pipeline.save_pretrained(checkpoint)
    temporary.mkdir()
    # Started in the background by a shell, these tests ignore Ctrl-C, and a child would inherit that. Undone by a
    # program in between: a function between fork and exec waits forever for locks that this process's threads hold.
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", heed, sys.executable, generate.__file__, "--serve", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [*command, "--checkpoint", str(checkpoint), "--device", "cpu"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watch = threading.Timer(90, process.kill)  # leaving the block waits for the end
        watch.start()
        assert process.stdout
        assert process.stderr
        address = re.match(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert address
        assert [path.name[:14] for path in temporary.iterdir()] == ["generate-serve"]
        process.send_signal(ending)
        assert process.wait(60) == 0
        assert process.stderr.read().strip() == "stopping"
        watch.cancel()
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken_is_one_line(client, capsys):
    assert generate.main(["--serve", "--port", str(client.server.port)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: --port {client.server.port}: Address already in use; ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--serve", "photo.png"], "a photo has no meaning"),
        (["--serve", "-o", "a.mp4"], "--output has no meaning"),
        (["--serve", "--poke", "1,1,1,1"], "--poke has no meaning"),
        (["--serve", "--show-motion"], "--show-motion has no meaning"),
        (["--serve", "--xt-slice", "0"], "--xt-slice has no meaning"),
        (["--serve", "--size", "wide"], "--size 'wide'"),
        (["--serve", "--size", "9x9"], "--size 9x9"),
        (["--serve", "--port", "70000"], "--port 70000: expected 0 to 65535"),
        (["--serve", "--steps", "0"], "--steps 0"),
        (["--serve", "--port", "0", "--checkpoint", "none"], "none: no such checkpoint folder"),
        ([], "no photo is given"),
    ],
)
def test_options_that_make_no_sense_are_one_line(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert generate.main([*arguments, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert complaint in message
    assert message.count("\n") == 1


def test_defaults_are_options_of_the_script():
    arguments = generate.build_parser().parse_args(["--serve", *OPTIONS])
    defaults = LoopOptions.of(arguments)
    assert (defaults.steps, defaults.num_frames, defaults.renderer, defaults.long_side) == (2, 6, "softmax", None)
    assert replace(defaults, long_side=256).frame_size((1000, 500)) == (256, 128)
    assert defaults.frame_size((1000, 500)) == (512, 256)
