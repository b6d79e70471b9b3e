"""Options of a simulated dataset folder, and which scenes they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from common.hashing import text_sha256
from data.dataset.options import EXACT, SplitOptions
from data.dataset.sequence import SequenceOptions
from data.footage.sources import Source
from data.simulated.kinds.registry import KINDS

SCENE_VERSION = 1  # version of the way scenes are made, by which a finished file is recognised
GOLDEN = 0.6180339887498949  # multiples of it fill [0, 1) evenly, however many there are
SUPERSAMPLING = 1.25  # rendered pixels a pixel of the result, each way
SAMPLES = 8  # light paths a rendered pixel


@dataclass(frozen=True, kw_only=True)
class SimulatedOptions(SplitOptions):
    """Everything that the contents of a simulated dataset folder depend on."""

    scenes: int = 100
    kinds: tuple[str, ...] = ()  # keys of KINDS; all of them where none is named
    size: tuple[int, int] = (256, 160)  # width, height
    num_frames: int = 150
    fps: float = 30.0
    num_frequencies: int = 24
    stored_frames: int = 1
    full: tuple[str, ...] = ("none",)


def scene_sources(options: SimulatedOptions) -> list[Source]:
    """The scenes, each named by its kind and number; more of them leave the first ones as they are."""
    names = options.kinds or tuple(KINDS)
    ends = np.cumsum([KINDS[name].weight for name in names])
    sources = []
    for number in range(options.scenes):
        kind = names[int(np.searchsorted(ends, (number * GOLDEN) % 1 * ends[-1], side="right"))]
        name = f"{kind}_{number:05d}"
        digest = text_sha256(f"simulated {SCENE_VERSION} {options.seed} {name}")
        sources.append(Source(name, name, digest, None, None))
    return sources


def kind_of(name: str) -> str:
    """The kind of a scene by its name."""
    return name.rpartition("_")[0]


def sequence_options(options: SimulatedOptions) -> SequenceOptions:
    """What all sequences have in common. None is dropped: the motion is what it is."""
    recorded = {"scene_version": SCENE_VERSION, "seed": options.seed, "renderer": "Blender 4.5 Cycles"}
    return SequenceOptions(
        size=options.size,
        num_frequencies=min(options.num_frequencies, options.num_frames // 2 + 1),
        estimator=EXACT,
        estimator_parameters=recorded | {"samples": SAMPLES, "supersampling": SUPERSAMPLING},
        keep_all=True,
    )


def recorded_options(options: SimulatedOptions) -> dict[str, Any]:
    """What all sequences of a dataset folder have in common, for ``parameters.json``."""
    computed = sequence_options(options)
    return {
        "size": options.size,
        "fps": options.fps,
        "num_frames": options.num_frames,
        "stored_frames": options.stored_frames,
        "num_frequencies": computed.num_frequencies,
        "kinds": options.kinds,
        "flow": EXACT,
        "flow_parameters": computed.estimator_parameters,
    }
