"""Leaves, bushes, trees, grass and crops: vegetation in focus, in pieces that are held at one place or line each."""

from __future__ import annotations

import numpy as np

from data.synthetic.motion import Hinge
from data.synthetic.segments import edge_strength
from data.synthetic.things.evidence import Evidence, ramp
from data.synthetic.things.heads import fill_holes
from data.synthetic.things.thing import Thing

SMALLEST = 0.008  # of the photo
LIKELY = 0.5  # probability of vegetation from which on a place is a plant
LARGE = 0.06  # of the photo: the outlines of smaller regions have to be clear
OUTLINE = 0.35  # mean strength of edges along them
SCRAP, SCRAP_SHARE = 0.05, 0.35  # of the photo, and of what vegetation is in focus: smaller things are scraps of it
FOCUSED = 0.38  # even sharpness from which on vegetation is seen well enough to move
SUBJECT = 0.6  # matte from which on a leafy place belongs to the subject
FLAT = 1.6  # width in heights from which on a region is many plants side by side
LAWN = 0.35  # even sharpness below which grass is a lawn too smooth to show its blades
HORIZON = 0.35  # of its width: a cover of the ground that stretches so far is seen as far as the horizon


def find_foliage(evidence: Evidence, heads: np.ndarray) -> list[Thing]:
    """Moving vegetation, from the back to the front.

    Args:
        heads: bool [H, W], what is a flower head or its stem and moves on its own.
    """
    import cv2

    sharp = cv2.GaussianBlur(evidence.sharp, (0, 0), 0.02 * evidence.sharp.shape[1])
    masks = {"tree": evidence.group("tree"), "ground cover": evidence.group("ground cover")}
    plants = np.maximum(evidence.vegetation - sum(masks.values()), 0)
    if evidence.classes is not None:  # petals and blur spoil the classes of close-ups, leaves have their colour still
        unsure = evidence.even(evidence.leafy) * (1 - np.minimum(evidence.vegetation + evidence.group("sky"), 1))
        plants = plants + unsure * (evidence.subject > SUBJECT)
    else:
        plants = evidence.vegetation * ramp(evidence.sharp, 0.1, 0.4)
    masks["plant"] = plants
    vegetation = np.sum(list(masks.values()), axis=0)
    leaves = (evidence.subject > SUBJECT) * evidence.even(evidence.leafy)
    still = evidence.group("sky", "built", "support", "rock") * (1 - leaves)
    present = (vegetation > LIKELY) & (vegetation > still) & ~heads
    kind_of = np.argmax(np.stack([cv2.GaussianBlur(mask, (0, 0), 6.0) for mask in masks.values()]), axis=0)
    near = _is_close_up(evidence, masks)
    if near:
        kind_of[:] = list(masks).index("plant")
    edges = edge_strength(evidence.photo, evidence.regions)
    things = []
    for number, kind in enumerate(masks):
        where = present & (kind_of == number) & (sharp > FOCUSED)
        for part in _parts(where, heads):
            if part.mean() > LARGE or edges[_border(part)].mean() > OUTLINE:
                things += _thing(kind, part, evidence, sharp)
    return sorted(without_scraps(things, evidence, near), key=lambda thing: thing.depth)


def _border(mask: np.ndarray) -> np.ndarray:
    import cv2

    return mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) == 0)


def _is_close_up(evidence: Evidence, masks: dict[str, np.ndarray]) -> bool:
    """Whether the photo shows some plants from near: no sky, and nothing built or rocky in focus."""
    far = evidence.group("sky").mean() + (evidence.group("built", "support", "rock") * evidence.sharp).mean()
    return bool(far < 0.12 and masks["plant"].mean() > 0.6 * masks["tree"].mean())


def without_scraps(things: list[Thing], evidence: Evidence, near: bool) -> list[Thing]:
    """The things without small pieces of much more vegetation, most of which can't be told from its surroundings."""
    green = np.maximum(evidence.vegetation, evidence.leafy)
    if near:  # leaves that fill the photo move together, in focus or not, or stay still together
        return [thing for thing in things if thing.mask.mean() > SCRAP_SHARE * float((green > 0.5).mean())]
    seen = float((green * evidence.sharp > 0.3).mean())
    return [thing for thing in things if thing.mask.mean() > min(SCRAP, SCRAP_SHARE * seen)]


def _parts(mask: np.ndarray, heads: np.ndarray) -> list[np.ndarray]:
    """Connected parts that are not too small, smooth-edged and without small holes."""
    import cv2

    smooth = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    smooth = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    filled = fill_holes(smooth > 0, 0.01) & ~heads
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(filled.astype(np.uint8), connectivity=4)
    return [labels == n for n in range(1, len(statistics)) if statistics[n, cv2.CC_STAT_AREA] > SMALLEST * mask.size]


def _thing(kind: str, mask: np.ndarray, evidence: Evidence, sharp: np.ndarray) -> list[Thing]:
    """The thing that a region is; none where it is a lawn."""
    height, width = mask.shape
    ys, xs = np.nonzero(mask)
    depth = float(ys.max()) / height + 0.4 * float(sharp[mask].mean())
    if kind == "ground cover":
        if float(sharp[mask].mean()) < LAWN:
            return []
        far = np.ptp(xs) > HORIZON * width and evidence.group("sky", "tree", "rock")[: ys.min() + 1].any()
        name = "field" if far else "grass"
        return [Thing(name, mask, ground_hinge(mask), depth - 1.0)]
    if kind == "tree":
        return [Thing("tree", mask, tree_hinge(mask), depth - 0.5)]
    return [Thing("plant", mask, plant_hinge(mask), depth)]


def ground_hinge(mask: np.ndarray) -> Hinge:
    """A line along the lowest edge of a region, upright blades standing on it."""
    ys, xs = np.nonzero(mask)
    top, bottom = float(ys.min()), float(ys.max())
    return Hinge(float(xs.mean()), bottom, (0.0, -1.0), max(12.0, bottom - top), 1.4, wide=True)


def tree_hinge(mask: np.ndarray) -> Hinge:
    """The foot of a tree, or where its branches come into the photo."""
    height, width = mask.shape
    ys, xs = np.nonzero(mask)
    if ys.max() >= height - 3 or ys.min() > 2:
        wide = np.ptp(xs) > FLAT * np.ptp(ys) or np.ptp(xs) > 0.8 * width
        low = xs[ys > ys.max() - max(4, 0.06 * np.ptp(ys))]
        length = max(12.0, float(ys.max() - np.percentile(ys, 2)))
        return Hinge(float(np.median(low)), float(ys.max()), (0.0, -1.0), length, 1.7, wide=bool(wide))
    return edge_hinge(mask)


def plant_hinge(mask: np.ndarray) -> Hinge:
    """Below for what stands in the photo or reaches its lower edge; at the edge for what comes in from elsewhere."""
    height, width = mask.shape
    ys, xs = np.nonzero(mask)
    if ys.max() >= height - 3:
        low = xs[ys >= height - 8]
        wide = np.ptp(xs) > 0.8 * np.ptp(ys) or np.ptp(low) > 0.4 * width
        # The ground is rarely in the photo: blades that end at its edge stand a little lower.
        below = height + 0.15 * np.ptp(ys)
        length = max(12.0, float(below - np.percentile(ys, 2)))
        return Hinge(float(np.median(low)), float(below), (0.0, -1.0), length, 1.6, wide=bool(wide))
    if ys.min() <= 2 or xs.min() <= 2 or xs.max() >= width - 3:
        return edge_hinge(mask)
    return tree_hinge(mask)


def edge_hinge(mask: np.ndarray) -> Hinge:
    """Where a branch comes in from the edge of the photo that it touches most."""
    width = mask.shape[1]
    ys, xs = np.nonzero(mask)
    near = {
        (0.0, 1.0): ys <= 3,
        (1.0, 0.0): xs <= 3,
        (-1.0, 0.0): xs >= width - 4,
    }
    axis, touching = max(near.items(), key=lambda item: int(item[1].sum()))
    x, y = float(xs[touching].mean()), float(ys[touching].mean())
    center = np.array([xs.mean() - x, ys.mean() - y])
    direction = center / max(1e-6, float(np.linalg.norm(center)))
    if np.dot(direction, axis) < 0.3:
        direction = np.array(axis)
    along = (xs - x) * direction[0] + (ys - y) * direction[1]
    length = max(12.0, float(np.percentile(along, 98)))
    return Hinge(x, y, (float(direction[0]), float(direction[1])), length, 1.5, wide=False)
