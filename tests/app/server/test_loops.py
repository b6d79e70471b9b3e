"""From a photo that is sent to the server to a loop: real requests on a free port, answered with tiny models."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.local_server import GatedPipeline, picture, until

from app.server.animate import shrink
from data.media.read_video import read_video


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
        ({"wind": "0"}, "wind: expected a number from 0.01 to 100"),
        ({"size": "4000"}, "size: expected one of 256, 512, 1024"),
        ({f"o{index}": "" for index in range(20)}, "fields"),
    ],
)
def test_options_out_of_range_are_refused(client, options, complaint):
    answer = client.send(picture(), **options)
    assert answer.status == 400
    assert complaint in answer.json["error"]
    assert client.jobs() == {}
