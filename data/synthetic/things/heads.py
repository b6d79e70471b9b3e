"""Flower heads, each with all its petals: compact, in focus, coloured unlike leaves, and in front as mattes say."""

from __future__ import annotations

import numpy as np

from data.synthetic.segments import bounding_box, edge_strength
from data.synthetic.things.evidence import Evidence, ramp, region_means

SMALLEST, LARGEST = 0.0018, 0.75  # of the photo
MOST_HEADS = 24
FEWEST_SAMPLES = 60  # pixels that GrabCut needs of either kind
SOLIDITY = 0.5  # of its convex hull, at least
OUTLINE = 0.3  # strength of the edges around it, at least
NECK = 0.72  # heads that touch are two where the neck is narrower than this share of the smaller one
SMALLER = 0.3  # of the thickness of the thickest of several heads that touch, at least
CERTAIN = 0.7  # product of two mattes, from which on the edges around a head need not be clear
STALK = 0.3  # width in that of the head, below which its lowest rows are a stalk
GAP = 0.04  # between petals of one head, at most, in half square roots of its area
AGREEING = 0.55  # intersection over union of two mattes, from which on they show the same
STANDS = 0.45  # focused table or floor right below, from which on a thing stands there
LIKELY, UNLIKELY = 0.35, -0.35  # scores that GrabCut starts from
WEIGHTS = {  # of the evidence for a head, chosen by looking at the photos
    **{"petal": 1.5, "matte": 1.1, "saliency": 0.7, "person": 0.5, "rare": 1.0, "sharp": 0.5},
    **{"sky": -1.8, "built": -0.3, "tree": -0.8, "water": -0.2, "rock": -0.7},
    **{"agreed": 1.0, "behind": -1.0, "leafy": -0.9},
}
OFFSET = -1.25


def find_heads(evidence: Evidence) -> list[np.ndarray]:
    """Masks bool [H, W] of the heads, the largest first."""
    scores = head_scores(evidence)
    mask = _complete(evidence, scores)
    edges = edge_strength(evidence.photo, evidence.regions)
    heads = []
    for part in _parts(mask):
        area = part.mean()
        if area < SMALLEST or area > LARGEST:
            continue
        for head in split_touching(part):
            head = without_stalk(head)
            if head.mean() >= SMALLEST and _is_head(head, evidence, edges):
                heads.append(head)
    heads.sort(key=lambda head: -float(head.sum()))
    return heads[:MOST_HEADS]


def head_scores(evidence: Evidence) -> np.ndarray:
    """How much speaks for a head at each pixel, float32 [H, W], even over superpixels; above 0 is likely."""
    import cv2

    known = {
        "petal": evidence.petal,
        "sharp": evidence.sharp - 0.4,
        "rare": _rarity(evidence) - 0.5,
        "leafy": evidence.leafy,
    }
    for name, matte in (("matte", evidence.matte), ("saliency", evidence.saliency)):
        if matte is not None:
            empty = matte.mean() < 0.005
            known[name] = np.zeros_like(matte) if empty else matte - 0.35
    if evidence.matte is not None and evidence.saliency is not None:
        known["agreed"] = evidence.matte * evidence.saliency
        if agreeing(evidence):  # then blur that is not of the subject is behind it
            near = cv2.dilate(evidence.sharp, np.ones((31, 31), np.uint8))  # petals are smooth within sharp outlines
            known["behind"] = (1 - np.maximum(evidence.matte, evidence.saliency)) * (1 - near)
    if evidence.classes is not None:
        known |= {name: evidence.classes[name] for name in ("person", "sky", "tree", "water", "rock")}
        known["built"] = evidence.group("built", "support")
    total = sum(WEIGHTS[name] * values for name, values in known.items())
    return evidence.even(np.asarray(total, np.float32) + OFFSET + 0.45)


def agreeing(evidence: Evidence) -> bool:
    """Whether both mattes are there and show the same subject, neither next to nothing nor nearly all of the photo."""
    if evidence.matte is None or evidence.saliency is None:
        return False
    first, second = evidence.matte, evidence.saliency
    both, either = np.count_nonzero((first > 0.5) & (second > 0.5)), np.count_nonzero((first > 0.5) | (second > 0.5))
    return bool(0.01 * first.size < both and either < 0.7 * first.size and both > AGREEING * either)


def _rarity(evidence: Evidence) -> np.ndarray:
    """How unlike the rest of the photo each superpixel's colour is, 0..1: float32 [H, W]."""
    import cv2

    lab = cv2.cvtColor(evidence.photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    means = np.stack([region_means(evidence.regions, lab[..., i]) for i in range(3)], axis=1)
    sizes = np.bincount(evidence.regions.ravel())
    distances = np.sqrt(np.square(means[:, None] - means[None]).sum(axis=2))
    rarity = np.minimum(distances, 60) @ (sizes / sizes.sum())
    low, high = np.percentile(rarity, [20, 97])
    return ramp(rarity, float(low), max(float(high), float(low) + 5))[evidence.regions]


def _complete(evidence: Evidence, scores: np.ndarray) -> np.ndarray:
    """The likely pixels, completed to whole objects by GrabCut, with their holes filled: bool [H, W]."""
    import cv2

    small = (scores.shape[1] // 2, scores.shape[0] // 2)
    half = cv2.resize(scores, small, interpolation=cv2.INTER_AREA)
    guess = np.where(half > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    guess[half > LIKELY], guess[half < UNLIKELY] = cv2.GC_FGD, cv2.GC_BGD
    mask = half > 0
    if min(np.count_nonzero(guess & 1), np.count_nonzero(~guess & 1)) >= FEWEST_SAMPLES:
        cv2.setRNGSeed(0)
        photo = np.ascontiguousarray(cv2.resize(evidence.photo, small, interpolation=cv2.INTER_AREA))
        cv2.grabCut(photo, guess, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)
        mask = (guess & 1) > 0
    full = cv2.resize(mask.astype(np.float32), scores.shape[::-1], interpolation=cv2.INTER_LINEAR)
    opened = cv2.morphologyEx((full > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return fill_holes(opened > 0)


def fill_holes(mask: np.ndarray, largest: float = 0.03) -> np.ndarray:
    """A mask without the holes that take less than such a share of the picture: bool [H, W]."""
    import cv2

    _, labels, statistics, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    height, width = mask.shape
    left, top = statistics[:, cv2.CC_STAT_LEFT], statistics[:, cv2.CC_STAT_TOP]
    right, bottom = left + statistics[:, cv2.CC_STAT_WIDTH], top + statistics[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    inside &= statistics[:, cv2.CC_STAT_AREA] < largest * mask.size
    inside[0] = False  # what is not a hole but the mask
    return mask | inside[labels]


def _parts(mask: np.ndarray) -> list[np.ndarray]:
    """Connected parts that are not too small: bool [H, W] each."""
    import cv2

    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] >= SMALLEST * mask.size)
    return [labels == number for number in large if number]


def split_touching(mask: np.ndarray) -> list[np.ndarray]:
    """Heads that touch, parted at their necks by the discs that fit into them."""
    import cv2

    gap = 2 * int(GAP * float(mask.sum()) ** 0.5) + 1
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
    distance = cv2.distanceTransform(np.pad(closed, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    smooth = cv2.GaussianBlur(distance, (0, 0), 2.0)
    taken: list[tuple[int, int, float]] = []
    level = float(smooth.max())
    while level > 3:  # peaks from the highest, each if the ridge to those before is low enough
        count, labels = cv2.connectedComponents((smooth >= level).astype(np.uint8), connectivity=8)
        for number in range(1, count):
            here = labels == number
            if not any(here[y, x] for y, x, _ in taken):
                y, x = np.unravel_index(int(np.where(here, smooth, 0).argmax()), mask.shape)
                taken.append((int(y), int(x), float(smooth[y, x])))
        level *= 0.9
    kept = _separate([peak for peak in taken if peak[2] > SMALLER * float(smooth.max())], smooth)
    if len(kept) < 2:
        return [mask]
    ys, xs = np.nonzero(mask)
    # From the rim of the disc that fits into each head: heads meet at the neck between them.
    distances = [np.hypot(ys - y, xs - x) - size for y, x, size in kept]
    owner = np.argmin(distances, axis=0)
    parts = []
    for number in range(len(kept)):
        part = np.zeros(mask.shape, bool)
        part[ys[owner == number], xs[owner == number]] = True
        parts.append(part)
    return parts


def without_stalk(head: np.ndarray) -> np.ndarray:
    """A head without a stalk that was taken for part of it: thin rows at its lower end."""
    rows = np.flatnonzero(head.any(axis=1))
    widths = head.sum(axis=1)[rows]
    thick = np.flatnonzero(widths > STALK * widths.max())
    if len(rows) - 1 - thick[-1] < 0.08 * len(rows):
        return head
    result = head.copy()
    result[rows[thick[-1]] + 1 :] = False
    return result


def _separate(peaks: list, smooth: np.ndarray) -> list:
    """Peaks of the distance to the border whose straight connection to higher ones has a neck."""
    kept: list = []
    for y, x, size in sorted(peaks, key=lambda peak: -peak[2]):
        for other_y, other_x, other in kept:
            steps = max(2, int(np.hypot(y - other_y, x - other_x)))
            ys, xs = np.linspace(y, other_y, steps).astype(int), np.linspace(x, other_x, steps).astype(int)
            if smooth[ys, xs].min() > NECK * min(size, other):
                break
        else:
            kept.append((y, x, size))
    return kept


def _is_head(mask: np.ndarray, evidence: Evidence, edges: np.ndarray) -> bool:
    """Whether a region is compact, in focus and not evidently something else."""
    import cv2

    rows, columns = bounding_box(mask, 2)
    part = mask[rows, columns].astype(np.uint8)
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = sum(cv2.contourArea(cv2.convexHull(contour)) for contour in contours)
    rim = (part > 0) & (cv2.erode(part, np.ones((3, 3), np.uint8), borderValue=1) == 0)
    strength = float(np.percentile(edges[rows, columns][rim], 35)) if rim.any() else 1.0
    if evidence.matte is not None and evidence.saliency is not None:
        agreed = float((evidence.matte * evidence.saliency)[mask].mean())
        strength = max(strength, float(agreed > CERTAIN))  # a sharp flower before blurred ones of its colour
    petal = float(np.maximum(evidence.petal, evidence.subject)[mask].mean())
    solid = part.sum() / max(hull, 1)
    beside = agreeing(evidence) and float(evidence.subject[mask].mean()) < 0.3  # then scraps of blur are likelier
    enough = solid > (0.75 if beside else SOLIDITY) and mask.mean() > (2 if beside else 1) * SMALLEST
    return bool(enough and strength > OUTLINE and petal > 0.3 and not _stands(mask, evidence))


def _stands(mask: np.ndarray, evidence: Evidence) -> bool:
    """Whether right below is a table, a floor or the like, in focus: cups and vases stand, flowers have stems."""
    height = np.flatnonzero(mask.any(axis=1))
    depth = max(4, int(0.12 * (height[-1] - height[0])))
    below = np.zeros(mask.shape, bool)
    below[depth:] = mask[:-depth]
    below &= ~mask
    below[: height[-1] - depth] = False
    if below.sum() < 20:
        return False
    return bool((evidence.group("support") * evidence.sharp)[below].mean() > STANDS)
