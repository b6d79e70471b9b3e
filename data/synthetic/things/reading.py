"""What a photo shows: the things in it that sway, or that nothing does, or that this can't be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.synthetic.motion import Hinge
from data.synthetic.segments import bounding_box
from data.synthetic.things.cloth import find_cloth
from data.synthetic.things.evidence import Evidence, gather_evidence
from data.synthetic.things.flames import find_flames
from data.synthetic.things.foliage import find_foliage, ground_hinge, plant_hinge
from data.synthetic.things.heads import find_heads
from data.synthetic.things.stems import Stem, find_stem, stem_contrast, stem_in_matte
from data.synthetic.things.thing import Thing

MOVES, STILL, DOUBTFUL = "moves", "still", "doubtful"
# What a category of a list of photos says is looked for; an unknown category says nothing.
ALL = frozenset({"flames", "heads", "foliage", "cloth"})
CATEGORIES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("still", "negative", "fur", "animal", "person", "building", "food"), frozenset()),
    "candle": frozenset({"flames"}),
    "flower": frozenset({"heads", "foliage"}),
    "grass": frozenset({"heads", "foliage"}),
    **dict.fromkeys(("plant", "tree", "leaves"), frozenset({"foliage"})),
    **dict.fromkeys(("cloth", "curtain", "hanging"), frozenset({"cloth"})),
}
NO_PLANTS = 0.04  # share of leaf colours and plants below which a flower-like subject may be anything
SURE_STILL = 0.8  # share of what never sways from which on a photo without things is still
LEAST = 0.004  # of the photo that has to move
UNLEAFY = 0.08  # mean of leaf colours, above which bright spots are taken for petals rather than flames
DARK = 100  # mean level below which bright warm blobs are flames that light the scene
SMALLEST_BUNCH, LEAFY_BUNCH = 0.06, 0.2  # of the photo, and share of leaves: a bunch with its leaves, not a head
SMALLEST_BED = 0.03  # of the photo: smaller heads that touch may move as one
BED_WIDTH = 2.2  # heights
FULL = 0.68  # of the convex hull, which one head takes at least
STEM_EXPONENT = 1.7  # of a cantilever's deflection from foot to head


@dataclass(frozen=True)
class Reading:
    """The things of a photo from the back to the front, and what is said about it in the manifest."""

    verdict: str  # MOVES, STILL or DOUBTFUL
    note: str
    things: list[Thing]


def read_photo(photo: np.ndarray, maps: Mapping[str, np.ndarray] | None = None, *, category: str = "") -> Reading:
    """Find what sways in a photo uint8 RGB [H, W, 3].

    Args:
        maps: see :func:`data.synthetic.things.evidence.gather_evidence`.
        category: what a list of photos says it shows, a key of ``CATEGORIES`` or anything else.
    """
    wanted = CATEGORIES.get(category, ALL)
    if not wanted:
        return Reading(STILL, f"category {category}", [])
    evidence = gather_evidence(photo, maps)
    flames = find_flames(evidence) if "flames" in wanted else []
    if flames and ("heads" not in wanted or (photo.mean() < DARK and evidence.leafy.mean() < UNLEAFY)):
        return Reading(MOVES, _listed(flames), flames)
    things = find_cloth(evidence) if "cloth" in wanted else []
    flowers, stems = find_flowers(evidence) if "heads" in wanted else ([], 0)
    taken = np.any([flower.mask for flower in flowers], axis=0) if flowers else np.zeros(photo.shape[:2], bool)
    if "foliage" in wanted:
        things += find_foliage(evidence, taken)
    things += flowers
    note = _listed(things) + (f", {stems} stems seen" if flowers else "")
    reason = _doubt(evidence, things, flowers, certain=category in CATEGORIES)
    if reason is not None:
        verdict, note = reason
        return Reading(verdict, note, [] if verdict == STILL else things)
    return Reading(MOVES, note, things)


def find_flowers(evidence: Evidence) -> tuple[list[Thing], int]:
    """Flower heads with their stems, from the back to the front, and how many stems are seen."""
    heads = find_heads(evidence)
    if not heads:
        return [], 0
    lines = stem_contrast(evidence.photo)
    every = np.any(heads, axis=0)
    taken = np.zeros(every.shape, bool)
    green = evidence.even(evidence.leafy)
    flowers, seen = [], 0
    for head in heads:
        if head.mean() > SMALLEST_BUNCH and float((green > 0.65)[head].mean()) > LEAFY_BUNCH:
            flowers.append(Thing("plant", head, plant_hinge(head), 1.5))
            continue
        if is_bed(head):
            flowers.append(Thing("bed", head, ground_hinge(head), 1.0))
            continue
        stem = stem_in_matte(head, every | taken, evidence)
        stem = stem or find_stem(head, every, lines, evidence, taken=taken)
        if stem.mask is not None:
            taken |= stem.mask
            seen += 1
        flowers.append(_flower(head, stem))
    return sorted(flowers, key=lambda flower: flower.depth), seen


def is_bed(head: np.ndarray) -> bool:
    """Whether what looks like a head is many that touch: wide, or full of gaps."""
    import cv2

    rows, columns = bounding_box(head, 0)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if head.mean() < SMALLEST_BED:
        return False
    contours, _ = cv2.findContours(head.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    gaps = head.sum() < FULL * hull
    return bool(width > 0.6 * head.shape[1] and (width > BED_WIDTH * height or gaps))


def _flower(head: np.ndarray, stem: Stem) -> Thing:
    reach = np.subtract(stem.top, stem.foot)
    length = max(8.0, float(np.linalg.norm(reach)))
    axis = (float(reach[0]) / length, float(reach[1]) / length)
    mask = head if stem.mask is None else head | stem.mask
    rows, _ = bounding_box(head, 0)
    depth = 2 + rows.stop / len(head) + float(head.sum() / head.size) ** 0.5
    return Thing("flower", mask, Hinge(*stem.foot, axis, length, STEM_EXPONENT), depth, head)


def _listed(things: list[Thing]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(t.kind for t in things).items()))


def _doubt(evidence: Evidence, things: list[Thing], flowers: list[Thing], *, certain: bool) -> tuple[str, str] | None:
    """Verdict and reason where a photo isn't one that sways as found."""
    moving = float(np.any([thing.mask for thing in things], axis=0).mean()) if things else 0.0
    never = float(evidence.group("sky", "built", "support", "rock", "water").mean())
    plants = float(np.maximum(evidence.vegetation, evidence.leafy).mean())
    if moving < LEAST:
        if not certain and never > SURE_STILL:
            return STILL, "only what never sways"
        return DOUBTFUL, "nothing that sways was recognised"
    if flowers and not certain and plants < NO_PLANTS:
        return DOUBTFUL, "a subject like a flower, but no plants around it"
    subject = evidence.subject > 0.6
    if subject.mean() > 0.01 and flowers:
        built = float(evidence.group("built", "support")[subject].mean())
        if built > 0.6 and float(evidence.petal[subject].mean()) < 0.4:
            return DOUBTFUL, "the matte's subject is built or furniture"
    return None
