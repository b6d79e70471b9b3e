"""Curtains: what the class map calls so, held at its upper edge."""

from __future__ import annotations

import numpy as np

from data.synthetic.motion import Hinge
from data.synthetic.things.evidence import Evidence
from data.synthetic.things.thing import Thing

LIKELY = 0.55  # probability of cloth
SMALLEST = 0.02  # of the photo


def find_cloth(evidence: Evidence) -> list[Thing]:
    """Hanging cloth, from the back to the front."""
    import cv2

    mask = (evidence.group("cloth") > LIKELY).astype(np.uint8)
    mask[:] = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    things = []
    for number in range(1, len(statistics)):
        part = labels == number
        ys, xs = np.nonzero(part)
        if part.mean() < SMALLEST or np.ptp(ys) < 0.6 * np.ptp(xs):  # what is wide and low lies or is spread
            continue
        hinge = Hinge(float(xs.mean()), float(ys.min()), (0.0, 1.0), max(12.0, float(np.ptp(ys))), 1.1, wide=True)
        things.append(Thing("cloth", part, hinge, float(ys.max()) / len(mask)))
    return things
