"""The doors through which input comes, each with what makes a hostile case for it."""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.mutations import damaged_bytes, damaged_text, damaged_values
from common.image_files import FORMATS, heif_is_readable
from common.tensor_files import read_tensors, save_tensors

QUICK = ["--steps", "1", "--num-frames", "2", "--size", "32x32", "--renderer", "softmax", "--device", "cpu"]
Command = Callable[[], int]
# What other programs' files begin with, under the name of a photo.
FOREIGN = (
    *(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n", b"8BPS\0\1" + bytes(300)),
    *(
        b"DDS " + bytes(124) + bytes(64),
        b"\xd7\xcd\xc6\x9a" + bytes(100),
        b"%PDF-1.7\n",
        b"<svg xmlns='x'/>",
        b"PK\3\4",
    ),
    *(b"\x80\x04\x95cos\nsystem\n", b"\x89HDF\r\n\x1a\n", b"SIMPLE  =", b"GRIB", b"BLP2" + bytes(200), b"words"),
)
# Values of options, few of which make sense for any.
WORDS = (
    *(
        "",
        "--",
        "-1",
        "0",
        "1",
        "2",
        "1e9",
        "1" + "0" * 23,
        "9" * 5000,
        "nan",
        "inf",
        "-inf",
        "1e-320",
        "\u00b2",
        "0x10",
    ),
    *(
        "1x1",
        "\u00b2x\u00b2",
        "99999x99999",
        "16x16",
        "a:b.mp4",
        "file:x.mp4",
        "n" * 300,
        "nowhere/x",
        "1/8",
        "0.5,0.5",
        ",",
    ),
    *("\0", "\ud800", "loop", "pipe", "tiny", "none", "@x", "%s", "0,0,9,9", "train=nowhere"),
)
SCRIPTS = ("generate", "train_unet", "train_frame_synthesis", "evaluate", "data.prepare", "data.synthetic.command")


@dataclass(frozen=True)
class Door:
    """One way in."""

    name: str
    case: Callable[[random.Random, Path], Command]  # makes a case's files in an empty folder, and what reads them


def photo(chance: random.Random, folder: Path) -> Command:
    """A damaged picture, or another program's file, for generate.py."""
    forms = [form for form in FORMATS if form.name != "HEIF" or heif_is_readable()]
    form = chance.choice(forms)
    content = chance.choice(FOREIGN) if chance.random() < 0.1 else damaged_bytes(_picture(form.name), chance)
    path = folder / f"photo{chance.choice(form.suffixes)}"
    path.write_bytes(content)
    return _generating([str(path), "--motion", str(_motion(folder))], folder)


def motion_file(chance: random.Random, folder: Path) -> Command:
    """A damaged motion file for generate.py: bytes, metadata, or tensors."""
    path = _motion(folder)
    if chance.random() < 0.3:
        path.write_bytes(damaged_bytes(path.read_bytes(), chance))
    else:
        tensors, metadata = read_tensors(path)
        told = damaged_values(metadata, chance)
        save_tensors(path, _damaged_tensors(tensors, chance), _texts(told))
    return _generating([str(_photo(folder)), "--motion", str(path)], folder)


def checkpoint(chance: random.Random, folder: Path) -> Command:
    """A damaged checkpoint of either model for generate.py: its configuration, or its weights."""
    shutil.copytree(_pipeline(), folder / "models")
    part = folder / "models" / chance.choice(("motion", "motion", "frame_synthesis"))
    if chance.random() < 0.75:
        path = part / "config.json"
        path.write_bytes(damaged_text(json.loads(path.read_text()), chance))
    else:
        path = part / "model.safetensors"
        if chance.random() < 0.5:
            path.write_bytes(damaged_bytes(path.read_bytes(), chance))
        else:
            save_tensors(path, _damaged_tensors(read_tensors(path)[0], chance))
    arguments = [str(_photo(folder)), "--checkpoint", str(folder / "models"), "--renderer", "model"]
    return _generating(arguments, folder)


def training_state(chance: random.Random, folder: Path) -> Command:
    """A damaged state of a training run, which the same model would go on from."""
    from common.command_line import run_script
    from training.saved_state import STATE_FILE, load_training_state

    path = folder / STATE_FILE
    path.parent.mkdir()
    path.write_bytes(_state())
    if chance.random() < 0.2:
        path.write_bytes(damaged_bytes(path.read_bytes(), chance))
    else:
        tensors, metadata = read_tensors(path)
        summary = damaged_text(json.loads(metadata["state"]), chance).decode(errors="replace")
        save_tensors(path, _damaged_tensors(tensors, chance), {"state": summary})

    def load(_: argparse.Namespace) -> None:
        model, optimizer, average = _trainee()
        load_training_state(folder, model=model, optimizers=[optimizer], ema=average)

    return lambda: run_script(load, argparse.Namespace(report=None))


def arguments(chance: random.Random, folder: Path) -> Command:
    """Options of any script with values that make little sense; what they name is not there, so no work begins."""
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    name = chance.choice(SCRIPTS)
    module = import_module(name)
    words = _words(module.build_parser(), chance)
    needed = {"generate": ["nowhere.jpg"], "data.prepare": ["nowhere"], "data.synthetic.command": ["nowhere"]}
    before = [chance.choice(("rendering", "motion", "sampling", "ablation"))] if name == "evaluate" else []
    required = [] if name == "generate" else ["--output", "made"]
    required += [] if name in needed else ["--data", "nowhere"]
    given = [*before, *needed.get(name, []), *required, *words]

    def run() -> int:
        there = Path.cwd()
        os.chdir(folder)
        try:
            return module.main(given)
        finally:
            os.chdir(there)

    return run


DOORS = tuple(Door(make.__name__, make) for make in (photo, motion_file, checkpoint, training_state, arguments))


# Whole files, made once -----------------------------------------------------------------------------------------------


def _generating(words: list[str], folder: Path) -> Command:
    import generate

    return lambda: generate.main([*QUICK, *words, "-o", str(folder / "loop.gif")])


@cache
def _pixels() -> np.ndarray:
    y, x = np.mgrid[:24, :32]
    noise = np.random.default_rng(0).integers(0, 30, (24, 32, 3))
    return (np.stack([6 * x, 8 * y, 4 * (x + y)], axis=-1) + noise).clip(0, 255).astype(np.uint8)


@cache
def _picture(form: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(_pixels()).save(buffer, format=form)
    return buffer.getvalue()


def _photo(folder: Path) -> Path:
    path = folder / "photo.png"
    path.write_bytes(_picture("PNG"))
    return path


def _motion(folder: Path) -> Path:
    import torch

    from models.dynamics.motion_file import MotionFile

    path = folder / "motion.safetensors"
    volume = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    MotionFile(volume, 4, 30.0, (32, 24), "").write(path)
    return path


@cache
def _pipeline() -> Path:
    """A pipeline of the smallest models, in a temporary folder of this process."""
    import atexit
    import tempfile

    from models.motion.model import PRESETS, MotionModel
    from models.pipeline import ImageDynamicsPipeline
    from models.rendering.config import PRESETS as RENDERERS
    from models.rendering.model import FrameSynthesisModel
    from models.spectral_volume import SpectralNormalizer

    config = PRESETS["tiny"]
    motion = MotionModel(config, SpectralNormalizer("adaptive", (1.0,) * config.num_frequencies))
    folder = tempfile.mkdtemp(prefix="fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ImageDynamicsPipeline(motion, FrameSynthesisModel(RENDERERS["tiny"])).save_pretrained(folder)
    return Path(folder)


def _trainee() -> tuple[Any, Any, Any]:
    """A model, its optimizer and its average."""
    import torch

    from training.state import ExponentialMovingAverage

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1), ExponentialMovingAverage(model)


@cache
def _state() -> bytes:
    import tempfile

    import torch

    from training.saved_state import STATE_FILE, save_training_state

    model, optimizer, average = _trainee()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        extra = {"stage": "slice"}
        save_training_state(Path(folder), 1, model=model, optimizers=[optimizer], ema=average, extra=extra)
        return (Path(folder) / STATE_FILE).read_bytes()


def _damaged_tensors(tensors: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Tensors, in half of the cases with one of them of another type, shape or name, with wild values, or missing."""
    import torch

    if chance.random() < 0.5:
        return tensors
    found = dict(tensors)
    name = chance.choice(sorted(found))
    tensor = found.pop(name)
    others = (
        lambda: {name: tensor.to(torch.int64)},
        lambda: {name: tensor.double()},
        lambda: {name: tensor[None]},
        lambda: {name: tensor.flatten()[:1]},
        lambda: {name: tensor.flatten()[:0]},
        lambda: {name: torch.full_like(tensor, chance.choice((float("nan"), float("inf"), 6e4)), dtype=torch.float32)},
        lambda: {name: torch.full(tensor.shape, 1e38)},
        lambda: {name + "x": tensor},
        dict,
    )
    return found | chance.choice(others)()


def _texts(values: Any) -> dict[str, str]:
    """Metadata of a tensor file, which hold texts alone."""
    items = values.items() if isinstance(values, dict) else [("x", values)]
    return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in items}


def _words(parser: argparse.ArgumentParser, chance: random.Random) -> list[str]:
    """A few options of a parser, each with a value that may be any word."""
    chosen = []
    parsers = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers += action.choices.values()
    actions = [
        a for a in chance.choice(parsers)._actions if a.option_strings and a.dest not in ("help", "serve", "data")
    ]
    for action in chance.sample(actions, min(len(actions), chance.randint(1, 3))):
        option = chance.choice(action.option_strings)
        if action.nargs == 0:
            chosen.append(option)
        elif option.startswith("--") and chance.random() < 0.7:
            chosen.append(f"{option}={chance.choice(WORDS)}")
        else:
            chosen += [option, chance.choice(WORDS)]
    return chosen
