"""From a photo that is sent to the server to its motion and a loop: real requests, answered with tiny models."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from helpers.local_server import picture
from PIL import Image

from app.server.animate import shrink
from data.media.read_video import read_video
from models.dynamics.motion_file import MotionFile
from models.pipeline import ImageDynamicsPipeline


def loop_frames(client, tmp_path, photo: bytes, motion: bytes, **options: object) -> np.ndarray:
    (content,) = client.render(photo, motion, **options).result()["files"].values()
    (tmp_path / "loop.mp4").write_bytes(content)
    return read_video(tmp_path / "loop.mp4")[0].astype(int)


def test_a_photo_becomes_a_motion_then_a_loop_and_progress_is_told(client, tmp_path):
    photo = picture()
    client.pipeline.gate.clear()
    sent = client.send(photo, name="my rose.png")
    assert sent.status == 200
    assert sent.until("motion") == {"stage": "motion", "done": 0, "total": 2}
    client.pipeline.gate.set()
    motion = sent.result()["files"]["motion.safetensors"]
    assert client.stored() == []  # what was sent and made is gone with its answer
    (tmp_path / "a.safetensors").write_bytes(motion)
    found = MotionFile.read(tmp_path / "a.safetensors")
    pixels = np.array(Image.open(io.BytesIO(photo)))
    with_steps = ImageDynamicsPipeline.predict_motion(client.pipeline, pixels, steps=2)
    assert torch.allclose(found.spectral_volume, with_steps[0], atol=2e-3)
    result = client.render(photo, motion).result()
    assert (result["size"], result["frames"], result["duration"]) == ([64, 48], 6, 1.0)
    (tmp_path / "loop.mp4").write_bytes(result["files"]["loop.mp4"])
    frames, fps = read_video(tmp_path / "loop.mp4")
    assert (frames.shape, fps) == ((6, 48, 64, 3), pytest.approx(6))
    assert np.abs(frames.astype(int) - frames[0].astype(int)).max() > 20  # it moves
    assert client.stored() == []


def test_a_photo_that_no_browser_knows_comes_back_as_one_that_all_do(client):
    file = io.BytesIO()
    Image.open(io.BytesIO(picture(3000, 1000))).save(file, "TIFF")
    result = client.send(file.getvalue(), "picture", name="scan.tif").result()
    assert result["size"] == [3000, 1000]
    shown = Image.open(io.BytesIO(result["files"]["photo.jpg"]))
    assert (shown.format, shown.size) == ("JPEG", (2048, 682))


def test_amplitude_size_speed_and_seed_are_taken_from_the_request(client, tmp_path):
    photo = picture(600, 300)
    motion = client.motion(photo)
    assert motion == client.motion(photo, seed=0) != client.motion(photo, seed=5)
    still, moving = (loop_frames(client, tmp_path, photo, motion, size=256, amplitude=a) for a in (0, 8))
    assert still.shape == moving.shape == (6, 128, 256, 3)
    assert np.abs(still - still[0]).max() < 20 < np.abs(moving - moving[0]).max()
    # The motion's period is five seconds, six frames a second.
    assert loop_frames(client, tmp_path, photo, motion, amplitude=0, speed=2.5).shape == (12, 256, 512, 3)


@pytest.mark.parametrize(("form", "kind"), [("webm", b"\x1aE\xdf\xa3"), ("webp", b"RIFF")])
def test_other_formats(client, form, kind):
    photo = picture()
    (content,) = client.render(photo, client.motion(photo), format=form).result()["files"].values()
    assert content.startswith(kind)


def test_a_motion_that_is_none_or_another_photos_is_told_in_one_line(client):
    photo = picture()
    for motion, complaint in ((b"nothing", "motion.safetensors: "), (client.motion(picture(64, 128)), "aspect ratio")):
        error = client.render(photo, motion).result()["error"]
        assert complaint in error
        assert str(client.folder) not in error
    for size in ("", "-1", "9" * 20, str(len(photo) + 1), "0"):
        refused = client.send(photo + b"x", "loop", photo_bytes=size)
        assert refused.status == 400
        assert "photo_bytes: expected" in refused.error


def test_large_photos_are_shrunk_before_they_are_worked_with():
    large = np.zeros((2000, 5000, 3), np.uint8)
    assert shrink(large, 2048).shape == (820, 2048, 3)
    assert shrink(large, 5000) is large


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": "-1"}, "seed"),
        ({"seed": "1" * 5000}, "seed"),
        ({"amplitude": "nan"}, "amplitude: expected"),
        ({"amplitude": "1e9"}, "amplitude: expected"),
        ({"amplitude": "x"}, "amplitude: expected"),
        ({"speed": "0"}, "speed: expected a number from 0.05 to 100"),
        ({"wind": "0"}, "wind: expected a number from 0.01 to 100"),
        ({"size": "4000"}, "size: expected one of 256, 512, 1024"),
        ({"format": "exe"}, "format: expected one of mp4, webm, webp"),
        ({f"o{index}": "" for index in range(20)}, "fields"),
    ],
)
def test_options_out_of_range_are_refused(client, options, complaint):
    refused = client.send(picture(), **options)
    assert refused.status == 400
    assert complaint in refused.error
    assert client.stored() == []
