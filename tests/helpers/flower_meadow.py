"""A made photo of flowers, and what is found to move in it."""

from __future__ import annotations

import numpy as np

from data.synthetic.things.reading import read_photo
from data.synthetic.things.thing import Thing


def meadow(seed: int = 0, width: int = 240, height: int = 160) -> np.ndarray:
    """A photo uint8 [H, W, 3]: bright blossoms with soft edges on stems before a dim, smooth ground."""
    import cv2

    random = np.random.default_rng(seed)
    ground = cv2.resize(
        random.uniform(20, 70, (6, 9, 3)).astype(np.float32), (width, height), None, 0, 0, cv2.INTER_CUBIC
    )
    photo = ground * (0.5, 1.0, 0.6)
    for _ in range(7):
        x, y = int(random.uniform(0.1, 0.9) * width), int(random.uniform(0.25, 0.7) * height)
        mask = np.zeros((height, width), np.float32)
        cv2.ellipse(
            mask,
            (x, y),
            (int(random.uniform(14, 26)), int(random.uniform(10, 20))),
            random.uniform(0, 180),
            0,
            360,
            1.0,
            -1,
        )
        cv2.line(mask, (x, y), (x + int(random.normal(0, 8)), height), 1.0, 5)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None]
        shade = cv2.GaussianBlur(random.normal(0, 60, (height, width, 1)).astype(np.float32), (0, 0), 3)[..., None] * 4
        photo = photo * (1 - mask) + (random.uniform((180, 60, 20), (255, 160, 90)) + shade) * mask
    return photo.clip(0, 255).astype(np.uint8)


def flowers_of(photo: np.ndarray) -> list[Thing]:
    """The flowers that are found in a meadow without any maps."""
    return read_photo(photo, category="flower").things
