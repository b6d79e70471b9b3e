"""A photo taken apart into layers, and put together again with every layer moved.

`peel` cuts one thing out of a photo: its colour and opacity, and a guess at what it hides. The two composed give the
photo back exactly, so repeating it from the front to the back gives layers whose composition is the photo. `compose`
moves each layer by its own smooth displacement, solved for the inverse, and puts the nearer over the farther: an exact
forward warp with exact occlusions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.synthetic.segments import fill_nearest, nearest_known

MATTE_RADIUS = 8  # working pixels to either side of a border within which a matte may be soft
MATTE_EPSILON = 2e-4  # variance of colours in [0, 1] under which an edge is smoothed over
# Working pixels: the mirrored texture around a hole reaches so far into it; beyond are mean colours.
TEXTURE_DEPTH = 14.0
OPAQUE, FAINT, TRANSPARENT = 0.96, 0.25, 0.02  # opacities
INVERSE_TOLERANCE = 0.02  # working pixels
INVERSE_STEPS = 40


@dataclass(frozen=True)
class Layer:
    """One thing that moves on its own, within its bounding box; the box may reach beyond the picture."""

    top: int  # row of the picture at which the box begins
    left: int
    rgba: np.ndarray  # float32 [h, w, 4]: colour 0..255 times alpha, and alpha, where 1 is opaque
    shapes: np.ndarray  # float32 [M, h, w, 2], x and y in working pixels: the modes' shapes
    series: np.ndarray  # float32 [M, T], zero at t = 0: the displacement is the sum of shape times series

    def displacement(self, t: int) -> np.ndarray:
        """Float32 [h, w, 2] in working pixels."""
        flat = self.series[:, t] @ self.shapes.reshape(len(self.shapes), -1)
        return flat.reshape(self.shapes.shape[1:])


# Taking apart ---------------------------------------------------------------------------------------------------------


def soft_matte(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Opacity of what a mask roughly outlines, drawn to the photo's edges by a guided filter with colour guide.

    He, Sun and Tang, "Guided Image Filtering", 2010, Eq. 19-21.

    Args:
        image: float32 [H, W, 3] in [0, 1].
        mask: bool [H, W].

    Returns:
        float32 [H, W] in [0, 1]; exactly the mask farther than ``MATTE_RADIUS`` from its border.
    """
    import cv2

    size = (2 * MATTE_RADIUS + 1,) * 2
    value = mask.astype(np.float32)
    mean, mean_value = cv2.blur(image, size), cv2.blur(value, size)
    covariance = cv2.blur(image * value[..., None], size) - mean * mean_value[..., None]
    rows, columns = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)
    products = np.stack([image[..., i] * image[..., j] for i, j in zip(rows, columns, strict=True)], axis=-1)
    a, b, c, d, e, f = (
        cv2.blur(products[..., k], size) - mean[..., i] * mean[..., j] + (MATTE_EPSILON if i == j else 0)
        for k, (i, j) in enumerate(zip(rows, columns, strict=True))
    )
    # The inverse of the symmetric 3x3 matrix [[a, b, c], [b, d, e], [c, e, f]] by cofactors, for all pixels at once.
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = np.maximum(a * aa + b * bb + c * cc, 1e-18)
    x, y, z = covariance[..., 0], covariance[..., 1], covariance[..., 2]
    slope = np.stack([aa * x + bb * y + cc * z, bb * x + dd * y + ee * z, cc * x + ee * y + ff * z], axis=-1)
    slope /= determinant[..., None]
    offset = mean_value - (slope * mean).sum(axis=-1)
    matte = (cv2.blur(slope, size) * image).sum(axis=-1) + cv2.blur(offset, size)
    matte = np.clip((matte - 0.1) / 0.8, 0, 1)  # no haze far from the border, no holes inside
    matte[cv2.erode(mask.astype(np.uint8), np.ones(size, np.uint8), borderValue=1) > 0] = 1
    matte[cv2.dilate(mask.astype(np.uint8), np.ones(size, np.uint8)) == 0] = 0
    return matte


def push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill in smoothly what is unknown, by averages over ever larger neighbourhoods.

    Args:
        values: float32 [H, W, C].
        weight: float32 [H, W], 1 known, 0 unknown.

    Returns:
        float32 [H, W, C], unchanged where the weight is 1.
    """
    import cv2

    if min(weight.shape) <= 2 or weight.min() >= 1:
        total = max(float(weight.sum()), 1e-6)
        mean = (values * weight[..., None]).sum(axis=(0, 1)) / total
    else:
        size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
        coarse_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(values * weight[..., None], size, interpolation=cv2.INTER_AREA)
        coarse /= np.maximum(coarse_weight, 1e-6)[..., None]
        filled = push_pull(coarse, np.minimum(1, 2 * coarse_weight))
        mean = cv2.resize(filled, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return values * weight[..., None] + mean * (1 - weight[..., None])


def fill_hidden(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """A guess at what is behind something: the texture around it mirrored at its border, fading into mean colours.

    Args:
        image: float32 [H, W, 3].
        hidden: bool [H, W].

    Returns:
        float32 [H, W, 3], the image where it is not hidden.
    """
    import cv2

    if not hidden.any() or hidden.all():
        return image
    height, width = hidden.shape
    smooth = push_pull(image, (~hidden).astype(np.float32))
    smooth = np.where(hidden[..., None], cv2.GaussianBlur(smooth, (0, 0), 3), image)
    y, x = (cv2.GaussianBlur(index.astype(np.float32), (0, 0), 2.0) for index in nearest_known(~hidden))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    depth = np.hypot(y - rows, x - columns)
    # One pixel more, because those at the border still hold some of the colour in front.
    scale = 2 + 1.5 / np.maximum(depth, 1)
    mirrored_y = np.clip(rows + scale * (y - rows), 0, height - 1)
    mirrored_x = np.clip(columns + scale * (x - columns), 0, width - 1)
    texture = cv2.remap(smooth, mirrored_x, mirrored_y, cv2.INTER_LINEAR)
    near = cv2.dilate(hidden.astype(np.float32), np.ones((3, 3)))
    blocked = cv2.remap(near, mirrored_x, mirrored_y, cv2.INTER_LINEAR)
    trust = cv2.GaussianBlur(np.exp(-((depth / TEXTURE_DEPTH) ** 2)) * (blocked < 0.01), (0, 0), 1.0)[..., None]
    return np.where(hidden[..., None], trust * texture + (1 - trust) * smooth, image)


def peel(image: np.ndarray, labels: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the region with this label out of a photo.

    Args:
        image: float32 [H, W, 3], 0..255.
        labels: int32 [H, W].

    Returns:
        The region as [H, W, 4], its colour times opacity and its opacity; the photo without it [H, W, 3], whose
        composition is ``image``; and the labels without it [H, W].
    """
    import cv2

    mask = labels == label
    alpha = soft_matte(image / 255, mask)
    hidden = cv2.dilate((alpha > TRANSPARENT).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    behind = fill_hidden(image, hidden)
    front = push_pull(image, (alpha > min(OPAQUE, 0.9 * alpha.max())).astype(np.float32))
    # What the two guesses leave over goes with the thing, but for its faintest rim: left behind it would be a ghost.
    share = alpha[..., None]
    rest = image - share * front - (1 - share) * behind
    behind = behind + np.maximum(1 - share / FAINT, 0) * rest / np.maximum(1 - share, 1 - FAINT)
    behind = np.where(share > 0, np.clip(behind, 0, 255), image)
    color = image - (1 - share) * behind
    return np.dstack([color, alpha]), behind, fill_nearest(labels, ~mask)


# Putting together -----------------------------------------------------------------------------------------------------


def moved_layers(
    layers: list[Layer], t: int, size: tuple[int, int]
) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """Each layer where it is at time t: rows and columns of the picture, colour [h, w, 3] times alpha, alpha [h, w, 1].

    Interpolation overshoots a little at sharp edges, in colour and alpha alike.

    Args:
        size: (height, width) of the picture.
    """
    import cv2

    for layer in layers:
        displacement = layer.displacement(t)
        low, high = ([float(reduce(displacement[..., axis])) for axis in (0, 1)] for reduce in (np.min, np.max))
        height, width = displacement.shape[:2]
        rows = _clipped(layer.top + low[1] - 2, layer.top + height + high[1] + 2, size[0])
        columns = _clipped(layer.left + low[0] - 2, layer.left + width + high[0] + 2, size[1])
        y, x = np.mgrid[rows, columns].astype(np.float32)
        if not x.size:
            continue
        x, y = inverse_positions(displacement, x - layer.left, y - layer.top)
        moved = cv2.remap(layer.rgba, x, y, cv2.INTER_CUBIC)  # 0 outside
        yield rows, columns, moved[..., :3], moved[..., 3:]


def _clipped(start: float, stop: float, size: int) -> slice:
    return slice(min(size, max(0, int(np.floor(start)))), max(0, min(size, int(np.ceil(stop)))))


def compose(canvas: np.ndarray, layers: list[Layer], t: int) -> np.ndarray:
    """The picture at time t.

    Args:
        canvas: float32 [H, W, 3], what is behind all layers; not changed.
        layers: from the back to the front.

    Returns:
        float32 [H, W, 3].
    """
    canvas = canvas.copy()
    for rows, columns, color, alpha in moved_layers(layers, t, canvas.shape[:2]):
        canvas[rows, columns] = canvas[rows, columns] * (1 - alpha) + color
    return canvas


def shares(layers: list[Layer], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Share of each pixel of the unmoved picture that is seen of what is behind, then of each layer: float32 [H, W].

    Args:
        size: (height, width) of the picture.
    """
    free = np.ones(size, np.float32)
    found = []
    for layer in reversed(layers):
        height, width = layer.rgba.shape[:2]
        rows = _clipped(layer.top, layer.top + height, size[0])
        columns = _clipped(layer.left, layer.left + width, size[1])
        share = np.zeros(size, np.float32)
        if rows.start < rows.stop and columns.start < columns.stop:
            part = slice(rows.start - layer.top, rows.stop - layer.top)
            alpha = layer.rgba[part, columns.start - layer.left : columns.stop - layer.left, 3]
            share[rows, columns] = alpha * free[rows, columns]
            free[rows, columns] *= 1 - alpha
        found.append(share)
    yield free
    yield from reversed(found)


def inverse_positions(displacement: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the content that is at (x, y) now was before it moved: p with p + D(p) = (x, y), by fixed-point iteration.

    Args:
        displacement: float32 [h, w, 2], D, of slope below 1; continued beyond its edges by its value there.
        x, y: float32, positions in pixels of ``displacement``.
    """
    import cv2

    before_x, before_y = x, y
    for _ in range(INVERSE_STEPS):
        moved = cv2.remap(displacement, before_x, before_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        next_x, next_y = x - moved[..., 0], y - moved[..., 1]
        change = max(float(np.abs(next_x - before_x).max()), float(np.abs(next_y - before_y).max()))
        before_x, before_y = next_x, next_y
        if change < INVERSE_TOLERANCE:
            break
    return before_x, before_y
