"""What can be chosen by name, and the defaults: registries that need nothing imported.

The scripts take their ``choices=`` from here, the models look up here what a name stands for. Importing torch to print
a ``--help`` would take seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

from common.option_types import positive

DEFAULT_STEPS = 20  # sampling steps; docs/evaluation.md compares numbers of them
DEFAULT_SAMPLER = "dpmsolver++"
NUM_FRAMES = 150  # of a loop
FPS = 30.0

# How strong a wind is asked for, in units of the usual one: the median over what the model has seen.
WINDS = {"calm": 0.5, "breeze": 1.0, "strong": 2.0}


def wind_type(*more: str) -> Callable[[str], str | float]:
    """Type of a ``--wind`` option: one of :data:`WINDS` or of the names ``more``, or a factor above 0."""
    expected = (*WINDS, *more)

    def parse(text: str) -> str | float:
        if text in expected:
            return text
        try:
            return positive(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}, nor {', '.join(expected)}") from None

    return parse


SAMPLERS = ("dpmsolver++", "ddim", "ddpm")

# name -> the function that renders without a network: its module and its name there
WARPS = {
    "softmax": ("models.rendering.warping", "render_softmax"),
    "average": ("models.rendering.warping", "render_average"),
    "linear": ("models.rendering.warping", "render_linear"),
    "remap": ("models.rendering.warping", "render_remap"),
}
# No renderer of loops, but something to compare them with: the photo, unmoved.
UNMOVED = {"repeat": ("models.rendering.warping", "render_unmoved")}
NETWORK = "model"  # the trained renderer
RENDERERS = (NETWORK, *WARPS)
DEFAULT_RENDERER = NETWORK

# kind of SpectralNormalizer -> (key in stats.json, factor on it)
NORMALIZATIONS = {"adaptive": ("p95", 1.0), "std": ("rms", 2.82), "size": ("p95", 1.0)}

MOTION_PRESETS = ("tiny", "small", "default", "reference", "paper")  # keys of models.motion.config.PRESETS
RENDERER_PRESETS = ("tiny", "default", "half", "reference")  # keys of models.rendering.config.PRESETS


def resolve(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that ``"package.module:function"`` names, imported now; a function is returned as it is.

    So a registry can be read without importing what its entries need.
    """
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
