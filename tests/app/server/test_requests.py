"""Requests that don't come from the server's page: foreign hosts, wrong tokens, paths that lead elsewhere."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from helpers.local_server import HOSTILE, picture, status_of

from app.server import routes
from app.server.routes import shown_name


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
        "/../generate.py",
        "/..%2f..%2fetc/passwd",
        "/page.py",
        "/page_template.html",
        "/jobs/../jobs.py",
        "//page.css/",
        "/jobs/ID/photo",
        "/jobs/ID/../ID/loop.mp4",
        "/jobs/ID/loop.mp4%00",
        "/jobs/ID/",
        "/jobs/ID",
        "/jobs/../../x",
    ],
)
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
    script = (Path(routes.__file__).parent / "page.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert capfd.readouterr().err == ""  # nor on the terminal


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "photo"),
        ("C:\\a\\b.jpg", "b.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\nb", "ab"),
        ("..", ".."),
        ("x" * 500, "x" * routes.LONGEST_NAME),
        ("\u200f\u202e", "photo"),
        ("Blüte 花.jpg", "Blüte 花.jpg"),
    ],
)
def test_shown_names(name, shown):
    assert shown_name(name) == shown
