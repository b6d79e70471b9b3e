"""The dataset folders: all clips once, and for each fold the same sequences with its scenes as the test split."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from common.hashing import file_sha256
from data.dataset.manifest import load_manifest
from data.dataset.splits import split_position
from data.footage.find import find_sources
from data.media.read_video import VIDEO_SUFFIXES
from data.prepare import main as prepare
from evaluation.options import BenchmarkOptions

MOST_WITHOUT_VALIDATION = 2  # scenes that are trained on, below which none is spared for validation
LOOPS = ("--wrap", "--split", "1,0,0", "--full", "train", "validation", "test")  # of data.prepare: all frames are kept
FOLDER_FILES = ("parameters.json", "sources.json")  # what a dataset folder is recognised by, beside its sequences


class Scenes(NamedTuple):
    """Names of the clips of a fold's splits; all others are trained on."""

    test: tuple[str, ...]
    validation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fold:
    """Scenes that are tested by networks trained on the others, or film."""

    place: str  # its folder below the output
    data: Path
    manifest: str  # the hash of that of the dataset folder


def listing(clips: Iterable[Path]) -> dict[str, int]:
    """Sizes of the clips by name, by which it is seen that others are there."""
    return {name: path.stat().st_size for path, name in find_sources(list(clips), VIDEO_SUFFIXES, thing="video")}


def make_dataset(
    options: BenchmarkOptions, clips: Iterable[Path], folder: Path, more: Sequence[str] = (), *, sequences: int
) -> dict:
    """Make or complete a dataset folder with ``python -m data.prepare``; returns the hash of its manifest.

    Args:
        more: further options, such as ``--wrap``.
        sequences: at most as many of each clip.

    Raises:
        ValueError: the preparation has ended with an error, which it has told.
    """
    width, height = options.size
    shape = ["--size", f"{width}x{height}", "--fps", f"{options.fps:g}", "--num-frames", str(options.num_frames)]
    counts = ["--stride", str(options.stride), "--max-sequences-per-video", str(sequences)]
    counts += ["--num-frequencies", str(options.num_frequencies), "--workers", str(options.workers)]
    named = [str(path) for path in clips]
    status = prepare([*named, *shape, *counts, "--flow", options.flow, "--keep-all", *more, "--output", str(folder)])
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise ValueError(f"{folder}: the clips could not be prepared, for the reason above")
    return {"manifest": file_sha256(folder / "manifest.csv")}


def make_loops(options: BenchmarkOptions, folder: Path) -> dict:
    """All clips, with all frames: every sequence is trained on in some folds and tested in another."""
    return make_dataset(options, options.clips, folder, LOOPS, sequences=options.sequences)


def make_film(options: BenchmarkOptions, folder: Path) -> dict:
    """The film of ``--real``: as many sequences of each clip as are tested on, since none is trained on."""
    assert options.real is not None
    return make_dataset(
        options, [options.real], folder, ("--split", "0,0,1", "--overwrite"), sequences=options.test_sequences
    )


def make_fold(options: BenchmarkOptions, folder: Path, *, whole: Path, scenes: Scenes) -> dict:
    """A dataset folder with the sequences of another, in the splits of a fold.

    Nothing is measured again; its statistics are those of the scenes that are trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in FOLDER_FILES:
        shutil.copyfile(whole / name, folder / name)
    link = folder / "sequences"
    if not link.exists():
        link.symlink_to(Path("../" * len(folder.relative_to(whole.parent).parts)) / whole.name / "sequences")
    splits = ["--test", *map(glob.escape, scenes.test)]
    splits += ["--validation", *map(glob.escape, scenes.validation)] if scenes.validation else []
    return make_dataset(options, options.clips, folder, (*LOOPS, *splits), sequences=options.sequences)


def deal_scenes(whole: Path, folds: int, *, seed: int) -> list[Scenes]:
    """The scenes of each fold: dealt in an order that depends on the clips' content and the seed.

    One that would be trained on is spared for validation, where there are more than a few: the next fold's first.

    Raises:
        ValueError: fewer clips than folds, or a single fold.
    """
    scenes = {row["source"]: row["source_sha256"] for row in load_manifest(whole, "train")}
    if not 2 <= folds <= len(scenes):
        raise ValueError(f"--folds {folds}: {len(scenes)} clips can be dealt to 2 to {len(scenes)} folds")
    order = sorted(scenes, key=lambda name: (split_position(scenes[name], seed), name))
    dealt = []
    for number in range(folds):
        others = [name for place, name in enumerate(order) if place % folds != number]
        first = order[(number + 1) % folds]
        validation = (first,) if len(others) > MOST_WITHOUT_VALIDATION else ()
        dealt.append(Scenes(tuple(sorted(order[number::folds])), validation))
    return dealt
