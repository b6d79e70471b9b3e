"""What the tables know about each metric: how it is called, which way is better, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "one", None]  # "one": the nearer to 1 the better; None: neither way


@dataclass(frozen=True)
class Metric:
    """How one metric is shown and compared."""

    label: str
    better: Better = None
    decimals: int = 3
    distribution: bool = False  # of two sets of samples: it has no value for a single sequence
    weights: tuple[str, ...] = ()  # names of evaluation.networks.weights that it is computed with


METRICS = {
    "psnr": Metric("PSNR (dB)", "higher", 2),
    "ssim": Metric("SSIM", "higher", 4),
    "lpips": Metric("LPIPS (AlexNet)", "lower", 4, weights=("lpips_alexnet",)),
    "flicker": Metric("Flicker", "lower"),
    "fid": Metric("FID", "lower", 2, distribution=True, weights=("fid_inception",)),
    "kid": Metric("KID x100", "lower", 3, distribution=True, weights=("fid_inception",)),
    "fvd": Metric("FVD", "lower", 1, distribution=True, weights=("i3d_kinetics400",)),
    "fvd32": Metric("FVD32", "lower", 1, distribution=True, weights=("i3d_kinetics400",)),
    "dtfvd": Metric("DTFVD", "lower", 2, distribution=True, weights=("dti3d_16",)),
    "dtfvd32": Metric("DTFVD32", "lower", 2, distribution=True, weights=("dti3d_32",)),
    "localisation": Metric("Localisation", "higher"),
    "amplitude_ratio": Metric("Amplitude ratio", "one"),
    "spectrum_distance": Metric("Spectrum distance", "lower"),
    "coherence": Metric("Coherence"),
    "motion_frechet": Metric("Fréchet distance of motion", "lower", 2, distribution=True),
    "seam": Metric("Loop seam", "one"),
    "motion_seam": Metric("Loop seam of the motion", "one"),
    "seconds": Metric("Seconds a photo", "lower", 2),
    "network_calls": Metric("U-Net calls a photo", "lower", 0),
    "diversity_motion": Metric("Diversity (motion)", "higher"),
    "diversity_vgg16": Metric("Diversity (VGG16)", "higher", weights=("lpips_vgg16",)),
    "diversity_i3d": Metric("Diversity (I3D)", "higher", weights=("i3d_kinetics400",)),
    "diversity_dti3d": Metric("Diversity (DTI3D)", "higher", weights=("dti3d_16",)),
}


def metric_of(name: str) -> Metric:
    """What is known about a metric; one that isn't registered is shown under its own name."""
    return METRICS.get(name) or Metric(name.replace("_", " "))


def metric_names(table: Mapping[str, Mapping]) -> list[str]:
    """Every metric of ``{row: {metric: ...}}`` in the order in which they come up."""
    return in_order(name for row in table.values() for name in row)


def in_order(names: Iterable[str]) -> list[str]:
    """Each name once, in the order of their first appearance."""
    return list(dict.fromkeys(names))


def chosen(names: Iterable[str] | None, known: Iterable[str], option: str) -> tuple[str, ...]:
    """Those of the names that a table knows which an option asks for, in the table's order; None asks for all.

    Raises:
        ValueError: a name that the table does not know.
    """
    known = tuple(known)
    asked = set(known if names is None else names)
    unknown = asked - set(known)
    if unknown:
        raise ValueError(f"{option}: {', '.join(sorted(unknown))} unknown, expected some of {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def format_value(value: float, decimals: int) -> str:
    """Fixed decimals; what would lose its second digit by that is written with two significant digits."""
    if value != 0 and abs(value) < 10.0 ** (1 - decimals):
        return f"{value:.2g}"
    return f"{value:.{decimals}f}"
