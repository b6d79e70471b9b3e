"""Flames: small blobs brighter than all around them, glowing at the rim, upright, each above a wick."""

from __future__ import annotations

import numpy as np

from data.synthetic.motion import Hinge
from data.synthetic.segments import bounding_box
from data.synthetic.things.evidence import Evidence
from data.synthetic.things.thing import Thing

BRIGHT = 235  # of the green channel and above, the core of a flame
SMALLEST, LARGEST = 0.00015, 0.03  # of the photo
UPRIGHT = 0.9  # height in widths, at least
FILLED = 0.45  # of its bounding box
GLOW = 25.0  # red over blue around the core
DARKER = 45.0  # levels between the flame and what is some way around it
MOST_FLAMES = 40


def find_flames(evidence: Evidence) -> list[Thing]:
    """Flames of candles, from the back to the front; empty unless the photo evidently shows some."""
    import cv2

    photo = evidence.photo.astype(np.float32)
    core = ((photo[..., 0] >= BRIGHT) & (photo[..., 1] >= 0.82 * BRIGHT)).astype(np.uint8)
    core[:] = cv2.morphologyEx(core, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    flames = []
    for number in range(1, len(statistics)):
        area = statistics[number, cv2.CC_STAT_AREA] / core.size
        width, height = statistics[number, cv2.CC_STAT_WIDTH], statistics[number, cv2.CC_STAT_HEIGHT]
        if not SMALLEST <= area <= LARGEST or height < UPRIGHT * width:
            continue
        blob = labels == number
        if blob.sum() >= FILLED * width * height and _glows(photo, blob):
            flames.append(_flame(blob))
    flames.sort(key=lambda flame: -float(flame.mask.sum()))
    return flames[:MOST_FLAMES]


def _glows(photo: np.ndarray, blob: np.ndarray) -> bool:
    """Whether a bright blob has a warm rim and darker surroundings, above and to the sides."""
    import cv2

    size = int(blob.sum() ** 0.5)
    rows, columns = bounding_box(blob, 2 * size + 4)
    part, inside = photo[rows, columns], blob[rows, columns].astype(np.uint8)
    near = cv2.dilate(inside, np.ones((2 * (size // 4) + 3,) * 2, np.uint8)) - inside
    far = cv2.dilate(inside, np.ones((2 * size + 3,) * 2, np.uint8)) - cv2.dilate(inside, np.ones((size + 3,) * 2))
    far[np.flatnonzero(inside.any(axis=1))[-1] :] = 0
    if not near.any() or not far.any():
        return False
    warm = (part[..., 0] - part[..., 2])[near > 0].mean()
    return bool(warm > GLOW and part[inside > 0].mean() - part[far > 0].mean() > DARKER)


def _flame(blob: np.ndarray) -> Thing:
    """A flame stands on its wick and licks upwards; its rim glows a little beyond the bright core."""
    import cv2

    ys, xs = np.nonzero(blob)
    grow = max(1, int(0.12 * np.ptp(ys)))
    mask = cv2.dilate(blob.astype(np.uint8), np.ones((2 * grow + 1,) * 2, np.uint8)) > 0
    low = xs[ys >= ys.max() - 0.15 * np.ptp(ys)]
    hinge = Hinge(float(low.mean()), float(ys.max()), (0.0, -1.0), max(6.0, float(np.ptp(ys))), 1.6)
    return Thing("flame", mask, hinge, float(ys.max()) / len(blob))
