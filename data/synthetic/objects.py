"""What in a photo moves, and where it is held.

The choice is made by rules of thumb: what is in focus and colourful moves, a smooth bright top is sky and does not;
what touches the lower edge stands on a stem, what touches the others hangs or sticks out as a branch. Within a moving
thing some of the small regions with edges all around are leaves, with a motion of their own on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.synthetic.motion import Hinge, along_and_across
from data.synthetic.segments import bounding_box, local_contrast

SMALLEST_THING = 0.002  # of the canvas
LARGEST_LEAF = 0.15  # of the thing it belongs to
SMALLEST_LEAF = 60  # working pixels
THINNEST_LEAF = 4.0  # working pixels from its border to its middle
FEWEST_SAMPLES = 50  # pixels that GrabCut needs of either kind
THING_OUTLINE, LEAF_OUTLINE = 0.5, 0.35  # strength of the edges around them


@dataclass(frozen=True)
class Thing:
    """A moving region of the photo."""

    mask: np.ndarray  # bool [H, W] of the canvas
    hinge: Hinge
    depth: float  # larger is nearer
    freedom: float  # how far it moves, 0..1: less where no clear edge parts it from what is around it


def find_things(
    canvas: np.ndarray, regions: np.ndarray, groups: np.ndarray, edges: np.ndarray, random: np.random.Generator
) -> list[Thing]:
    """Connected things of the photo that are likely to move; ``groups`` tell touching ones apart where edges agree."""
    chosen = foreground(canvas, regions, random)
    rest = chosen.copy()
    masks = []
    for group in range(int(groups.max()) + 1):
        for mask in _components(chosen & (groups == group)):
            if outline(mask, edges) > THING_OUTLINE:
                masks.append(mask)
                rest &= ~mask
    masks += _components(rest)
    contrast = local_contrast(canvas)
    things = []
    for mask in masks:
        depth = np.flatnonzero(mask.any(axis=1))[-1] / len(mask) + 0.4 * float(contrast[mask].mean())
        freedom = min(1.0, 0.1 + outline(mask, edges) / THING_OUTLINE)
        things.append(Thing(mask, find_hinge(mask, random), depth - 0.8 * float(mask.mean()), freedom))
    return things


def _components(mask: np.ndarray) -> list[np.ndarray]:
    """Its connected parts that are not too small."""
    import cv2

    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_THING * mask.size)
    return [labels == number for number in large if number]


def outline(mask: np.ndarray, edges: np.ndarray) -> float:
    """Strength, 0..1, that the edges along most of a region's border have at least; the picture's own is left out."""
    import cv2

    rows, columns = bounding_box(mask, 2)
    part = mask[rows, columns].astype(np.uint8)
    border = (part > 0) & (cv2.erode(part, np.ones((3, 3), np.uint8), borderValue=1) == 0)
    return float(np.percentile(edges[rows, columns][border], 30)) if border.any() else 1.0


def foreground(canvas: np.ndarray, regions: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What moves, bool [H, W]: the likeliest regions, completed to whole objects by GrabCut where there are such.

    Where that finds nothing, as in a meadow that looks the same all over, a large part of the regions is taken.
    """
    import cv2

    count = int(regions.max()) + 1
    sizes = np.bincount(regions.ravel(), minlength=count)
    scores = region_scores(canvas, regions, count, random)
    order = np.argsort(-scores)
    areas = np.cumsum(sizes[order]) / regions.size
    share = random.uniform(0.15, 0.45)
    for likely in (share, share + 0.3):
        rank = np.empty(count)
        rank[order] = areas
        guess = np.where(rank <= likely, cv2.GC_PR_FGD, np.where(rank > 0.3 + 0.7 * likely, cv2.GC_BGD, cv2.GC_PR_BGD))
        mask = guess[regions][::2, ::2].astype(np.uint8)
        if not FEWEST_SAMPLES <= np.count_nonzero(mask & 1) <= mask.size - FEWEST_SAMPLES:
            continue
        cv2.setRNGSeed(int(random.integers(1 << 30)))
        models = np.zeros((1, 65)), np.zeros((1, 65))
        half = np.ascontiguousarray(canvas[::2, ::2])
        cv2.grabCut(half, mask, (0, 0, 1, 1), *models, 2, cv2.GC_INIT_WITH_MASK)  # changes the mask
        if 0.06 <= (mask & 1).mean() <= 0.9:
            inside = cv2.resize(mask & 1, regions.shape[::-1], interpolation=cv2.INTER_NEAREST)
            return (np.bincount(regions.ravel(), inside.ravel(), count) > 0.5 * sizes)[regions]
    return (rank <= random.uniform(0.4, 0.9))[regions]


def region_scores(canvas: np.ndarray, regions: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """How likely each region is to move, [R]."""
    import cv2

    sizes = np.bincount(regions.ravel(), minlength=count)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(regions.ravel(), values.ravel(), count) / sizes

    def standard(values: np.ndarray) -> np.ndarray:
        average = (values * sizes).sum() / sizes.sum()
        return (values - average) / max(1e-6, np.sqrt(((values - average) ** 2 * sizes).sum() / sizes.sum()))

    hsv = cv2.cvtColor(canvas, cv2.COLOR_RGB2HSV).astype(np.float32)
    height = len(canvas)
    contrast = mean(local_contrast(canvas))
    vivid = mean(hsv[..., 1] * hsv[..., 2] / 255)
    border = np.zeros(regions.shape, np.float32)
    border[:3], border[-3:], border[:, :3], border[:, -3:] = 1, 0.5, 1, 1
    at_top = mean(np.broadcast_to(np.arange(height)[:, None] < height * 0.1, regions.shape).astype(np.float32))
    bright = mean(hsv[..., 2]) / 255
    sky = (at_top > 0) * np.clip(0.5 - standard(contrast), 0, 1) * np.clip(2 * bright - 0.4, 0, 1)
    lowness = mean(np.broadcast_to(np.linspace(0, 1, height)[:, None], regions.shape)) - 0.5
    scores = standard(contrast) + 0.6 * standard(vivid) - 6 * mean(border) - 3 * sky + 0.4 * lowness
    return scores + 0.5 * random.normal(size=count)


def find_hinge(mask: np.ndarray, random: np.random.Generator) -> Hinge:
    """Where a thing is likely to be held: below if it touches the lower edge, else where it touches another edge."""
    height, width = mask.shape
    ys, xs = np.nonzero(mask)
    top, bottom, left, right = ys.min(), ys.max(), xs.min(), xs.max()
    touches = {
        "bottom": (bottom >= height - 2, xs[ys >= height - 8], ys[ys >= height - 8]),
        "side": (left <= 1 or right >= width - 2, xs[(xs <= 6) | (xs >= width - 8)], ys[(xs <= 6) | (xs >= width - 8)]),
        "top": (top <= 1, xs[ys <= 6], ys[ys <= 6]),
    }
    place = next((name for name, (touched, _, _) in touches.items() if touched), "inside")
    wide = (right - left) > 1.3 * (bottom - top) and place != "side" and (right - left) > 0.35 * width
    center = np.array([xs.mean(), ys.mean()])
    if place == "inside":
        hanging = random.uniform() < 0.12
        reach = random.uniform(0.2, 1.5) * (bottom - top) * (random.uniform() < 0.8)
        hinge = np.array(
            [center[0] + random.normal() * 0.1 * (right - left), top - reach if hanging else bottom + reach]
        )
    else:
        hanging = place == "top"
        hinge = np.array([touches[place][1].mean(), touches[place][2].mean()])
    axis = np.array([0.0, 1.0 if hanging else -1.0])
    if place == "side" or not (wide or hanging):
        axis = center - hinge
        axis /= max(1e-6, np.linalg.norm(axis))
    along = (xs - hinge[0]) * axis[0] + (ys - hinge[1]) * axis[1]
    length = max(12.0, float(np.percentile(along, 98)))
    exponent = random.uniform(1.0, 1.3) if hanging else random.uniform(1.4, 2.2)
    return Hinge(float(hinge[0]), float(hinge[1]), (float(axis[0]), float(axis[1])), length, exponent, wide)


def find_leaves(
    thing: Thing, partition: np.ndarray, edges: np.ndarray, chance: float, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Small regions within a thing that move on their own, from the hinge outwards: bool [H, W] each.

    Args:
        edges: float32 [H, W], 0 where there is none, 1 at a strong one: leaves are what has edges all around.
        chance: at which a region like that is chosen.
    """
    import cv2

    inside = np.where(thing.mask, partition, -1)
    area = int(thing.mask.sum())
    found = []
    for label, size in zip(*np.unique(inside, return_counts=True), strict=True):
        if label < 0 or not SMALLEST_LEAF <= size <= LARGEST_LEAF * area or random.uniform() > chance:
            continue
        mask = inside == label
        rows, columns = bounding_box(mask, 1)
        thickness = cv2.distanceTransform(mask[rows, columns].astype(np.uint8), cv2.DIST_L2, 3).max()
        if thickness >= THINNEST_LEAF and outline(mask, edges) > LEAF_OUTLINE:
            ys, xs = np.nonzero(mask)
            along, _ = along_and_across(thing.hinge, xs.mean(), ys.mean())
            found.append((float(along), mask))
    yield from (mask for _, mask in sorted(found, key=lambda item: item[0]))
