"""What is sent to the server and is no photo, too large, or not sent as it should be."""

from __future__ import annotations

import struct
import time
import zlib

import pytest
from helpers.local_server import picture, status_of

from app.server.guard import WebLimits


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header says so many pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("photo", "complaint"),
    [
        (b"no picture at all", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n", "a drawing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "a drawing"),
        (picture(8, 8), "8x8 pixels are too few"),
        (picture()[:20], "damaged"),
        (bomb(9000, 9000), "9000x9000 pixels, at most 64 megapixels"),
        (bomb(60000, 60000), "more than 64 megapixels"),
    ],
    ids=["text", "eps", "svg", "small", "header", "large", "bomb"],
)
def test_what_is_no_photo_is_refused_and_leaves_nothing(client, photo, complaint):
    answer = client.send(photo)
    assert answer.status == 415
    error = answer.error
    assert complaint in error
    assert str(client.folder) not in error
    assert client.stored() == []


def test_a_truncated_photo_fails_and_the_next_one_works(client):
    error = client.send(picture(400, 300)[:-2000], name="cut.png").result()["error"]
    assert "damaged image, save it again" in error
    assert str(client.folder) not in error
    assert "files" in client.send(picture(form="JPEG")).result()


def test_an_error_of_ours_is_told_in_one_line_and_the_next_photo_works(client, capfd):
    client.pipeline.error = RuntimeError("secret detail")
    assert "secret detail" not in client.send(picture()).result()["error"]
    assert "secret detail" in capfd.readouterr().err
    client.pipeline.error = None
    assert "files" in client.send(picture()).result()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(serving):
    limits = WebLimits(upload_bytes=100_000)
    with serving(web_limits=limits) as client:
        start = time.monotonic()
        assert status_of(client.post(f"Content-Length: {limits.upload_bytes + 1}\r\n")) == 413
        assert status_of(client.post("Expect: 100-continue\r\nContent-Length: 999999999\r\n")) == 413
        assert time.monotonic() - start < 2 * limits.linger_seconds + 2
        answer = client.send(bytes(3_000_000))  # the answer arrives although nobody reads the body
        assert answer.status == 413
        assert "3 MB" in answer.error
        assert client.stored() == []


def test_photos_of_fifty_megabytes_are_taken():
    assert WebLimits().upload_bytes == 50_000_000


def test_the_go_ahead_for_a_body_is_given_after_the_checks(client):
    photo = picture()
    connection = client.post(f"Expect: 100-continue\r\nContent-Length: {len(photo)}\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue")
    connection.sendall(photo)
    assert status_of(connection) == 200


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
def test_a_body_without_a_clear_size_is_refused(serving, headers, status):
    with serving(web_limits=WebLimits(linger_seconds=0.1)) as client:
        assert status_of(client.post(headers)) == status
