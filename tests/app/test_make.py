"""The one way from a photo to files, as generate.py and the server go it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.modal_scenes import swaying_motion
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from app.files import LoopFiles, plan_files
from app.hints import check_strength
from app.make import assign, make_loop, make_loops
from app.options import FileOptions, LoopOptions, Playing, Rendering, Sampling
from app.server.animate import render_loop, sample_motion
from app.server.jobs import Job
from common.stopwatch import Stopwatch
from data.media.images import read_image
from models.dynamics.motion_file import MotionFile

OPTIONS = LoopOptions(
    Sampling(steps=2), Playing(num_frames=4, fps=4.0, magnify=3.0), Rendering(renderer="softmax", size="native")
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[:48, :64] / 12
    pixels = (127 + 120 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def files_for(photo: Path, name: str, **files: Path) -> LoopFiles:
    return LoopFiles(photo, photo.with_name(name), **files)


def header_of(page: Path) -> dict:
    return json.loads(re.search(r'id="header">(.*?)</script>', page.read_text(encoding="utf-8"))[1])


def served(pipeline, photo: Path, folder: Path, *, options: LoopOptions) -> Job:
    """A job of the server, done as the page asks for it: first the motion, then the loop of it."""
    job = Job("photo.png", options, "mp4", folder, lambda stage, done, total: None)
    job.folder.mkdir()
    job.photo.write_bytes(photo.read_bytes())
    sample_motion(pipeline, job)
    render_loop(pipeline, job)
    return job


def test_the_servers_motion_and_loop_are_those_of_generate(pipeline, photo, tmp_path):
    files = files_for(photo, "loop.mp4", motion=tmp_path / "motion.safetensors")
    make_loop(pipeline, assign(files, OPTIONS))
    job = served(pipeline, photo, tmp_path / "job", options=OPTIONS)
    assert set(job.files) == {"loop.mp4", "motion.safetensors"}
    assert job.files["loop.mp4"].read_bytes() == (tmp_path / "loop.mp4").read_bytes()
    ours, theirs = (MotionFile.read(path) for path in (job.motion, tmp_path / "motion.safetensors"))
    assert torch.equal(ours.spectral_volume, theirs.spectral_volume)


def test_what_is_shown_is_magnified_once_and_what_is_kept_is_not(pipeline, photo, tmp_path):
    scales = []
    for magnify in (1.0, 3.0):
        files = files_for(photo, "loop.png", viewer=tmp_path / "v.html", motion=tmp_path / f"{magnify:g}.safetensors")
        options = replace(OPTIONS, playing=replace(OPTIONS.playing, magnify=magnify))
        made = make_loop(pipeline, assign(files, options))
        moving = made.animation.moving
        assert torch.equal(moving.shown.spectral_volume, magnify * moving.sampled.spectral_volume)
        shown = moving.shown.spectral_volume[: moving.displacement.volume.shape[1]]
        assert torch.equal(moving.displacement.volume[0], shown)
        scales.append(np.array(header_of(files.viewer)["modes"]["scales"]))
    assert scales[1] == pytest.approx(3 * scales[0], rel=1e-5)
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "3.safetensors").read_bytes()


@pytest.mark.parametrize(("scale", "told"), [(1e-3, True), (1.0, False)])
def test_where_hardly_anything_sways_it_is_said_and_the_loop_still_made(pipeline, photo, tmp_path, scale, told):
    gain = pipeline.motion_model.amplitude_gain
    before = gain.clone()
    gain.mul_(scale)
    try:
        said: list[str] = []
        files = files_for(photo, "loop.mp4")
        make_loop(pipeline, assign(files, replace(OPTIONS, playing=Playing(num_frames=4))), warn=said.append)
        job = served(pipeline, photo, tmp_path / "job", options=replace(OPTIONS, playing=Playing(num_frames=4)))
    finally:
        gain.copy_(before)
    assert files.loop.stat().st_size > 100
    assert [("hardly anything" in line, "photo.png: " in line) for line in said] == [(True, True)] * told
    assert job.files["loop.mp4"].stat().st_size > 100  # the page itself says how little moves


def test_weak_motion_that_is_magnified_is_no_news(tmp_path):
    said: list[str] = []
    for magnify in (1.0, 0.0, 5.0, -5.0):
        check_strength(tmp_path / "photo.png", 0.1, magnify=magnify, warn=lambda line, m=magnify: said.append(m))
    assert said == [1.0, 0.0]


def test_a_photo_is_decoded_once_however_many_files_are_made_of_it(pipeline, photo, tmp_path, monkeypatch):
    decoded, prepare = [], PngImageFile.load_prepare  # called before the pixels of a file are decoded
    monkeypatch.setattr(PngImageFile, "load_prepare", lambda self: decoded.append(self.filename) or prepare(self))
    files = files_for(
        photo,
        "loop.png",
        viewer=tmp_path / "v.html",
        motion_picture=tmp_path / "m.png",
        xt_slice=tmp_path / "x.png",
        row=3,
    )
    plan_files([photo], FileOptions())  # looks at the header alone
    (made,) = make_loops([files], OPTIONS, lambda: pipeline, watch=Stopwatch())
    assert [Path(name) for name in decoded if Path(name) == photo] == [photo]
    assert all(path.is_file() for path in made.assignment.files.outputs())
    with Image.open(files.xt_slice) as xt_slice:
        assert np.array_equal(np.asarray(xt_slice)[0], read_image(photo)[3])  # frame 0 is the photo


def test_models_are_loaded_once_and_only_for_a_photo_that_fits(pipeline, photo, tmp_path):
    loaded = []
    planned = [files_for(photo, "a.png"), files_for(photo, "b.png")]
    load = lambda: loaded.append(1) or pipeline  # noqa: E731
    assert len(list(make_loops(planned, OPTIONS, load, watch=Stopwatch()))) == 2
    assert loaded == [1]
    with pytest.raises(ValueError, match="rows 0 to 47"):
        list(make_loops([files_for(photo, "c.png", row=48)], OPTIONS, load, watch=Stopwatch()))
    assert loaded == [1]


def test_progress_is_told_and_a_foreign_motion_is_warned_of(pipeline, photo, tmp_path):
    swaying_motion((64, 48)).write(tmp_path / "other.safetensors")
    told, warned = [], []
    assignment = assign(files_for(photo, "a.png"), OPTIONS, motion=tmp_path / "other.safetensors", warn=warned.append)
    make_loop(pipeline, assignment, progress=lambda *step: told.append(step))
    assert told == [("frames", done, 4) for done in range(5)]
    (warning,) = warned
    assert "not the file that the motion was made for" in warning
    told.clear()
    make_loop(pipeline, assign(files_for(photo, "a.png"), OPTIONS), progress=lambda *step: told.append(step))
    assert told[:3] == [("motion", done, 2) for done in range(3)]
