"""Queue, cancelling and limits of the server."""

from __future__ import annotations

import socket
import time

import pytest
from helpers.local_server import picture, until

from app.server.guard import WebLimits


def trickle(connection: socket.socket) -> None:
    """A byte now and then."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        connection.sendall(b"x")
        time.sleep(0.05)


def test_a_full_queue_says_busy_before_the_body_is_read(serving):
    with serving(waiting=2) as client:
        client.pipeline.gate.clear()
        running = client.send_until("motion")
        waiting = [client.send_until("wait", total=place) for place in (1, 2)]
        refused = client.send(picture())
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert "busy: 2 photos are waiting" in refused.error
        client.pipeline.gate.set()
        assert all("files" in sent.result() for sent in (running, *waiting))
        assert "files" in client.send(picture()).result()


def test_photos_on_their_way_take_places_but_not_turns(serving):
    with serving(waiting=2) as client:
        slow = client.post("Content-Length: 900\r\n", b"half")
        until(lambda: client.stored())
        assert "files" in client.send(picture()).result()
        slower = client.post("Content-Length: 900\r\n", b"half")
        until(lambda: len(client.stored()) >= 4)
        assert client.send(picture()).status == 503
        for connection in (slow, slower):
            connection.close()  # given up
        until(lambda: client.stored() == [])
        assert "files" in client.send(picture()).result()


def test_whoever_goes_away_has_cancelled(client):
    client.pipeline.gate.clear()
    running, waiting, last = (client.send_until(stage) for stage in ("motion", "wait", "wait"))
    waiting.close()
    assert len(client.stored()) >= 6
    running.close()
    assert last.until("motion")["total"] == 2  # although the gate is closed: the first one has let go
    until(lambda: len(client.stored()) == 2)  # one folder with its photo
    client.pipeline.gate.set()
    assert "files" in last.result()
    assert client.stored() == []


def test_a_sender_that_trickles_is_cut_off(serving):
    with serving(web_limits=WebLimits(request_seconds=0.5)) as client:
        start = time.monotonic()
        for connection in (client.post("Content-Length: 900\r\n"), client.raw(b"GET / HTTP/1.1\r\nX-Long: ")):
            with pytest.raises(ConnectionError):
                trickle(connection)
            connection.close()
        assert time.monotonic() - start < 10
        until(lambda: client.stored() == [])


def test_there_are_no_more_connections_than_allowed(serving):
    with serving(web_limits=WebLimits(connections=2)) as client:
        idle = [client.raw(b"GET") for _ in range(2)]
        until(lambda: client.server.connections == 2)
        with client.raw(b"") as third:
            assert third.recv(10) == b""  # closed at once
        for connection in idle:
            connection.close()
        until(lambda: client.server.connections == 0)
        assert client.ask("GET", "/").status == 200
