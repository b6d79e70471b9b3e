"""How far motion reaches where nothing should move, and where it should: regions by what the photo shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Classes of `data.synthetic.maps.networks.CLASS_NAMES` that stand still. "Person" is what the network calls petals as
# well, and water moves without swaying: neither is counted on any side.
STILL = (
    *("wall", "building", "sky", "floor", "ceiling", "road", "bed", "window", "cabinet", "sidewalk", "earth", "door"),
    *("table", "mountain", "painting", "chair", "car", "sofa", "shelf", "house", "mirror", "rug", "armchair"),
)
PLANTS = ("tree", "grass", "plant", "field")
SURE = 0.7  # least probability of a region's classes
SUBJECT = 0.25  # a matte above this is a subject in front, whatever the class map calls it
MARGIN = 0.04  # of the width, around plants and subjects: maps and motion are blurred across such borders
SMALLEST = 0.02  # of the photo, else a percentile says little
PERCENTILE = 95


def high_amplitude(amplitude: np.ndarray, region: np.ndarray | None = None) -> float:
    """95th percentile of an amplitude map ``[H, W]`` within a region, bool ``[H, W]``, or all over."""
    return float(np.percentile(amplitude if region is None else amplitude[region], PERCENTILE))


def regions(maps: Mapping[str, np.ndarray], shape: tuple[int, int]) -> dict[str, np.ndarray | None]:
    """Where a photo stands still and where it has plants: ``still_regions`` and ``plants``, bool ``[H, W]`` each.

    None stands for a region that is too small, and for both without a class map.

    Args:
        maps: of the photo, as `data.synthetic.maps.files.read_maps` gives them.
        shape: (H, W) of the regions.
    """
    import cv2

    from data.synthetic.maps.networks import CLASS_NAMES

    if "class_probabilities" not in maps:
        return {"still_regions": None, "plants": None}
    height, width = shape

    def probability(names: tuple[str, ...]) -> np.ndarray:
        chosen = maps["class_probabilities"][..., [CLASS_NAMES.index(name) for name in names]].sum(axis=-1)
        return cv2.resize(chosen.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)

    plants, still = probability(PLANTS), probability(STILL) > SURE
    taken = plants > 1 - SURE
    for name in ("subject_matte", "saliency_matte"):
        if name in maps:
            matte = cv2.resize(maps[name], (width, height), interpolation=cv2.INTER_AREA)
            taken |= matte > 255 * SUBJECT
    reach = 2 * round(MARGIN * width) + 1
    near = cv2.dilate(taken.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    found = {"still_regions": still & ~near, "plants": plants > SURE}
    return {name: region if region.mean() >= SMALLEST else None for name, region in found.items()}
