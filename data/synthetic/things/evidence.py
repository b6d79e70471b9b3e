"""What each pixel of a photo is likely to be: colours of leaves and petals, focus, semantic classes and mattes.

Colours and focus come from the photo alone. Classes and mattes come from its maps (`data.synthetic.maps`), each of
which may be missing; a missing one speaks neither for nor against anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.synthetic.segments import local_contrast, superpixels

# Groups of the class network's 32 classes (`data.synthetic.maps.networks.CLASS_NAMES`). "Person" is what it calls
# petals, fruit and animals, so it is a group of its own; "painting" and "other" say nothing.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "tree": ("tree",),
    "ground cover": ("grass", "field"),
    "plant": ("plant",),
    "sky": ("sky",),
    "built": ("wall", "building", "ceiling", "window", "door", "car", "house", "mirror"),
    "support": (
        *("floor", "road", "bed", "cabinet", "sidewalk", "table", "chair", "sofa", "shelf", "rug", "armchair"),
    ),
    "rock": ("earth", "mountain"),
    "water": ("water", "sea"),
    "cloth": ("curtain",),
    "person": ("person",),
}
# Hues of leaves in the a-b plane of Lab, degrees: yellow petals end and leaves begin at about 100.
LEAF_HUES = (97.0, 106.0, 165.0, 185.0)
SUPERPIXELS = 1600  # about so many of them are evened out over
FOCUS = (0.25, 0.75)  # quantiles' share between blur and the sharpest detail of the photo that count as 0 and 1


@dataclass(frozen=True)
class Evidence:
    """Float32 [H, W] each, in 0..1 unless said otherwise."""

    photo: np.ndarray  # uint8 [H, W, 3]
    regions: np.ndarray  # int32 [H, W], superpixels
    leafy: np.ndarray  # colours of leaves and stems
    petal: np.ndarray  # vivid or white, and not the colour of leaves
    sharp: np.ndarray  # 1 where the photo is in focus
    classes: Mapping[str, np.ndarray] | None  # probability of each of `GROUPS`
    matte: np.ndarray | None  # of the subject
    saliency: np.ndarray | None

    def group(self, *names: str) -> np.ndarray:
        """Probability of any of these groups, 0 without a class map."""
        if self.classes is None:
            return np.zeros(self.leafy.shape, np.float32)
        return np.asarray(np.sum([self.classes[name] for name in names], axis=0), np.float32)

    @property
    def vegetation(self) -> np.ndarray:
        """Probability of plants; from the colours where there is no class map."""
        return self.leafy if self.classes is None else self.group("tree", "ground cover", "plant")

    @property
    def subject(self) -> np.ndarray:
        """What the mattes agree to be in front: their mean, or the one there is; 0 without any."""
        mattes = [matte for matte in (self.matte, self.saliency) if matte is not None]
        return np.asarray(np.mean(mattes, axis=0), np.float32) if mattes else np.zeros(self.leafy.shape, np.float32)

    def even(self, values: np.ndarray) -> np.ndarray:
        """Means over the superpixels, so that borders follow the photo's edges."""
        return region_means(self.regions, values)[self.regions].astype(np.float32)


def gather_evidence(photo: np.ndarray, maps: Mapping[str, np.ndarray] | None = None) -> Evidence:
    """Look at a photo, uint8 RGB [H, W, 3].

    Args:
        maps: some of ``class_probabilities`` float32 [h, w, 32], ``subject_matte`` and ``saliency_matte`` uint8 [H, W].
    """
    import cv2

    maps = maps or {}
    height, width = photo.shape[:2]
    spacing = max(5, round((height * width / SUPERPIXELS) ** 0.5))
    regions = superpixels(photo, spacing)
    leafy, petal = _colours(photo)
    classes = None
    if "class_probabilities" in maps:
        classes = {}
        for name, members in GROUPS.items():
            total = maps["class_probabilities"][..., class_numbers(members)].sum(axis=-1)
            full = cv2.resize(total.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
            classes[name] = region_means(regions, full)[regions].astype(np.float32)
    mattes = {}
    for name in ("subject_matte", "saliency_matte"):
        mattes[name] = maps[name].astype(np.float32) / 255 if name in maps else None
    return Evidence(
        photo, regions, leafy, petal, _focus(photo), classes, mattes["subject_matte"], mattes["saliency_matte"]
    )


def class_numbers(names: tuple[str, ...]) -> list[int]:
    """Places of these classes in the class map."""
    from data.synthetic.maps.networks import CLASS_NAMES

    return [CLASS_NAMES.index(name) for name in names]


def region_means(regions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of values [H, W] over each region, [R]."""
    flat = regions.ravel()
    return np.bincount(flat, values.ravel()) / np.maximum(np.bincount(flat), 1)


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to ``low``, 1 from ``high`` on, and linear between; falling where ``high`` is the smaller."""
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _colours(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each pixel has the colour of leaves, and of petals."""
    import cv2

    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)  # L 0..100, a and b about -100..100
    lightness, a, b = (cv2.GaussianBlur(lab[..., i], (0, 0), 1.0) for i in range(3))
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    green = ramp(hue, *LEAF_HUES[:2]) * ramp(hue, *LEAF_HUES[:1:-1])
    leafy = green * ramp(chroma, 5, 12)
    blue = ramp(hue, 215, 235) * ramp(hue, 300, 285)
    coloured = ramp(chroma, 24, 44) * (1 - green) * ramp(lightness, 16, 30) * (1 - 0.6 * blue)
    usual = float(np.median(np.asarray(lightness)))
    white = ramp(lightness, max(60.0, usual + 8), max(76.0, usual + 26)) * ramp(chroma, 30, 16)
    return leafy, np.maximum(coloured, white)


def _focus(photo: np.ndarray) -> np.ndarray:
    """1 where there is detail like in the sharpest parts of the photo, 0 where there is none."""
    contrast = local_contrast(photo)
    lowest, sharpest = float(np.log(0.6)), float(np.percentile(contrast, 97))
    relative = (contrast - lowest) / max(sharpest - lowest, 0.5)
    return ramp(relative, *FOCUS)
