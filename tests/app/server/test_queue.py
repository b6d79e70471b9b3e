"""Queue, cancelling and limits of the server."""

from __future__ import annotations

import socket
import time

import pytest
from helpers.local_server import picture, until

from app.server.guard import WebLimits
from app.server.jobs import Limits


def trickle(connection: socket.socket) -> None:
    """A byte now and then."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        connection.sendall(b"x")
        time.sleep(0.05)


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
