"""Requests that don't come from the server's page: foreign hosts, wrong tokens, paths that lead elsewhere."""

from __future__ import annotations

import json
import re
import socket

import pytest
from helpers.local_server import HOSTILE, picture, status_of

from app.server.routes import LONGEST_NAME, shown_name


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1", ""])
@pytest.mark.parametrize("path", ["/", "/start.js", "/manifest.json"])
def test_a_foreign_host_name_is_refused(client, host, path):
    for name in (host, f"{host}:{client.server.port}"):
        answer = client.ask("GET", path, Host=name)
        assert answer.status == 421
        assert client.server.token not in answer.body.decode()


def test_host_headers_missing_or_twice_are_refused(client):
    assert status_of(client.raw(b"GET / HTTP/1.1\r\n\r\n")) == 421
    assert status_of(client.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")) == 421
    assert client.ask("GET", "/", Host="localhost:9").status == 200  # as through a tunnel


def test_a_wrong_token_or_origin_is_refused(client):
    for token in (None, "", "wrong", client.server.token[:-1], "ü"):
        token = token if token is None else token.encode("utf-8").decode("latin-1")
        assert client.ask("POST", "/motion", picture(), X_Token=token).status == 403
    own = f"http://127.0.0.1:{client.server.port}"
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{client.server.port}", "http://127.0.0.1:1"):
        for method, path in (("POST", "/motion"), ("GET", "/manifest.json")):
            assert client.ask(method, path, picture() if method == "POST" else None, Origin=origin).status == 403
    assert client.ask("POST", "/motion", picture(), Origin=own).status == 200
    assert client.ask("GET", "/manifest.json", Origin=own).status == 200


def test_only_this_machine_can_connect(client):
    assert client.server.server_address[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):  # another of this machine's addresses
        socket.create_connection(("127.0.0.2", client.server.port), timeout=5)


@pytest.mark.parametrize(
    "path",
    [
        "/../generate.py",
        "/..%2f..%2fetc/passwd",
        "/routes.py",
        "/sw.js",
        "/engine/",
        "/engine",
        "//start.js/",
        "/start.js%00",
        "/viewer/../start.js",
        "/motion",
        "/models/denoise.onnx",
    ],
)
def test_paths_lead_nowhere_but_to_the_page(client, path):
    answer = client.ask("GET", path)
    assert answer.status == 404
    assert answer.json["error"]


def test_methods_and_requests_that_make_no_sense(client):
    for method in ("PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "<b>"):
        assert client.ask(method, "/motion").status == 501
    for path in ("/", "/jobs", "/manifest.json"):
        assert client.ask("POST", path, picture()).status == 404
    connection = client.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03<script>\r\n\r\n")  # https
    with connection:
        assert b"<script>" not in connection.recv(65536)
    assert status_of(client.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n")) == 431


def test_every_answer_forbids_what_is_not_needed(client):
    answers = [client.ask("GET", path) for path in ("/", "/start.js", "/studio.css", "/manifest.json", "/nothing")]
    answers.append(client.ask("POST", "/motion", picture()))
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Python" not in answer.headers["Server"]
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_a_hostile_file_name_is_only_text(client, capfd):
    photo = picture()
    sent = client.render(photo, client.motion(photo, name=HOSTILE), name=HOSTILE)
    assert "Set-Cookie" not in sent.headers
    assert list(sent.result()["files"]) == ["loop.mp4"]
    assert capfd.readouterr().err == ""  # nor on the terminal


def test_the_page_is_the_studios_and_holds_nothing_of_this_server(client):
    page = client.ask("GET", "/").body.decode()
    for name in re.findall(r'(?:src|href)="([\w./-]+)"', page):
        answer = client.ask("GET", f"/{name}")
        assert answer.status == 200, name
        assert client.server.token not in answer.body.decode()
    assert json.loads(client.ask("GET", "/manifest.json").body)["token"] == client.server.token


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "photo"),
        ("C:\\a\\b.jpg", "b.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\nb", "ab"),
        ("..", ".."),
        ("x" * 500, "x" * LONGEST_NAME),
        ("\u200f\u202e", "photo"),
        ("Blüte 花.jpg", "Blüte 花.jpg"),
    ],
)
def test_shown_names(name, shown):
    assert shown_name(name) == shown
