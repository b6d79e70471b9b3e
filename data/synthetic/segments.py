"""A photo split by its own content: superpixels, merged step by step into parts and objects.

Nothing here is learnt. Superpixels come from a watershed, neighbours that look alike are merged first (Ward's
criterion, weighted by how strong the edge between them is), and the order of merging gives a partition of any
coarseness: a fine one whose regions serve as leaves and petals, a coarse one whose regions serve as whole plants. The
fine one refines the coarse one.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

SEED_SPACING = 14  # pixels between the seeds of superpixels
# Hue tells plants from their surroundings better than lightness, which light and shadow change.
CHROMA_WEIGHT = 1.6
CLEAR_EDGE = 8.0  # Lab units a pixel, doubled by the 8-bit scale of lightness
SHARPNESS_WEIGHT = 9.0  # Lab units for a factor of e in local contrast: what is in focus is one thing, blur another


def local_contrast(image: np.ndarray) -> np.ndarray:
    """Logarithm of the fine detail around each pixel, a cue for what is in focus: uint8 [H, W, 3] -> float32 [H, W]."""
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 1.5))
    return np.log(cv2.GaussianBlur(detail, (0, 0), 6.0) + 0.3)


def edge_strength(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Gradient within two pixels, in units of what is usual at a region's border, at most 1: float32 [H, W].

    In a picture all of blur no edge is strong.
    """
    import cv2

    gradient: np.ndarray = np.asarray(cv2.dilate(_gradient(image), np.ones((5, 5), np.uint8)))
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    usual = float(np.percentile(gradient[border], 75)) if border.any() else 1.0
    return np.minimum(gradient / max(usual, CLEAR_EDGE), 1)


def superpixels(image: np.ndarray, spacing: int = SEED_SPACING) -> np.ndarray:
    """Watershed superpixels of a photo: uint8 [H, W, 3] -> labels int32 [H, W], from 0, each connected.

    Seeds lie on a grid, moved to the flattest place nearby, so that no seed sits on an edge.
    """
    import cv2

    height, width = image.shape[:2]
    smooth = cv2.bilateralFilter(image, 5, 30, 3)
    gradient = _gradient(smooth)
    markers = np.zeros((height, width), np.int32)
    count = 0
    for top in range(1, height - 1, spacing):  # the watershed overwrites the outermost pixels
        for left in range(1, width - 1, spacing):
            cell = gradient[top : min(top + spacing, height - 1), left : min(left + spacing, width - 1)]
            y, x = np.unravel_index(int(cell.argmin()), cell.shape)
            count += 1
            markers[top + y, left + x] = count
    labels = cv2.watershed(smooth, markers)
    return fill_nearest(labels, labels > 0) - 1


def fill_nearest(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Give every unknown pixel the value of the nearest known one: [H, W] or [H, W, C], and bool [H, W].

    Where nothing is known, all values stay.
    """
    if known.all() or not known.any():
        return values
    y, x = nearest_known(known)
    return values[y, x]


def nearest_known(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the nearest known pixel to each pixel, int [H, W] each; of known pixels, their own."""
    import cv2

    _, owners = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.nonzero(known)
    place = np.zeros(len(ys) + 1, np.intp)
    place[owners[ys, xs]] = np.arange(len(ys))
    index = place[owners]
    return ys[index], xs[index]


def bounding_box(mask: np.ndarray, padding: int) -> tuple[slice, slice]:
    """Rows and columns that hold a mask and so many pixels around it, within the picture."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(ys[0]) - padding), min(mask.shape[0], int(ys[-1]) + 1 + padding)),
        slice(max(0, int(xs[0]) - padding), min(mask.shape[1], int(xs[-1]) + 1 + padding)),
    )


def merge_regions(image: np.ndarray, labels: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """Partitions of decreasing fineness by merging similar neighbours.

    Args:
        image: uint8 RGB [H, W, 3].
        labels: int32 [H, W], connected regions from 0.
        counts: numbers of regions wanted, each at most what ``labels`` has.

    Returns:
        For each count, labels int32 [H, W] from 0.
    """
    regions = int(labels.max()) + 1
    sizes, sums = _region_sums(image, labels, regions)
    neighbors = _neighbors(image, labels, regions)
    order = _merge_order(sizes, sums, neighbors, min(counts))
    partitions = []
    for count in counts:
        parents = np.arange(regions)
        for kept, merged in order[: max(0, regions - count)]:
            parents[merged] = kept
        while not np.array_equal(parents, parents[parents]):
            parents = parents[parents]
        partitions.append(np.unique(parents, return_inverse=True)[1].astype(np.int32)[labels])
    return partitions


def _gradient(image: np.ndarray) -> np.ndarray:
    import cv2

    values = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    along_x, along_y = cv2.Sobel(values, cv2.CV_32F, 1, 0), cv2.Sobel(values, cv2.CV_32F, 0, 1)
    return np.sqrt((along_x**2 + along_y**2).sum(axis=2)) / 8


def _region_sums(image: np.ndarray, labels: np.ndarray, regions: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [R] and summed features [R, 4] of each region."""
    import cv2

    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float64)
    lab[..., 0] *= 100 / 255
    lab[..., 1:] *= CHROMA_WEIGHT
    features = np.dstack([lab, SHARPNESS_WEIGHT * local_contrast(image)]).reshape(-1, 4)
    flat = labels.ravel()
    sums = np.stack([np.bincount(flat, column, regions) for column in features.T], axis=1)
    return np.bincount(flat, minlength=regions).astype(np.float64), sums


def _neighbors(image: np.ndarray, labels: np.ndarray, regions: int) -> list[dict[int, tuple[float, float]]]:
    """For each region its neighbours, with the length of the common border and the summed gradient along it."""
    gradient = _gradient(image)
    pairs, strengths = [], []
    across = (slice(None), slice(-1)), (slice(None), slice(1, None))
    down = (slice(-1), slice(None)), (slice(1, None), slice(None))
    for first, second in (across, down):
        a, b = labels[first], labels[second]
        different = a != b
        low, high = np.minimum(a, b)[different], np.maximum(a, b)[different]
        pairs.append(low.astype(np.int64) * regions + high)
        strengths.append(np.maximum(gradient[first], gradient[second])[different])
    keys, inverse = np.unique(np.concatenate(pairs), return_inverse=True)
    lengths = np.bincount(inverse)
    sums = np.bincount(inverse, np.concatenate(strengths))
    neighbors: list[dict[int, tuple[float, float]]] = [{} for _ in range(regions)]
    for key, length, total in zip(keys.tolist(), lengths.tolist(), sums.tolist(), strict=True):
        low, high = divmod(key, regions)
        neighbors[low][high] = neighbors[high][low] = (float(length), total)
    return neighbors


def _merge_order(
    sizes: np.ndarray, sums: np.ndarray, neighbors: list[dict[int, tuple[float, float]]], fewest: int
) -> list[tuple[int, int]]:
    """(kept, merged) region pairs in the order of merging; changes its arguments."""

    def cost(a: int, b: int) -> float:
        difference = sums[a] / sizes[a] - sums[b] / sizes[b]
        length, strength = neighbors[a][b]
        smaller = min(sizes[a], sizes[b])
        # A border that is long for the smaller region speaks for merging, a strong edge along it against.
        belonging = length / np.sqrt(smaller)
        ward = smaller * max(sizes[a], sizes[b]) / (sizes[a] + sizes[b])
        return ward**0.8 * (difference @ difference + 4.0) * (1 + 0.15 * strength / length) / (0.6 + belonging)

    heap = [(cost(a, b), a, b, 0, 0) for a, around in enumerate(neighbors) for b in around if a < b]
    heapq.heapify(heap)
    versions = [0] * len(sizes)
    order: list[tuple[int, int]] = []
    while heap and len(sizes) - len(order) > fewest:
        _, a, b, version_a, version_b = heapq.heappop(heap)
        if versions[a] != version_a or versions[b] != version_b:
            continue
        order.append((a, b))
        sizes[a] += sizes[b]
        sums[a] += sums[b]
        versions[a] += 1
        versions[b] = -1
        neighbors[a].pop(b)
        neighbors[b].pop(a)
        for other, (length, strength) in neighbors[b].items():
            neighbors[other].pop(b)
            there = neighbors[a].get(other, (0.0, 0.0))
            neighbors[a][other] = neighbors[other][a] = (there[0] + length, there[1] + strength)
        neighbors[b] = {}
        for other in neighbors[a]:
            first, second = min(a, other), max(a, other)
            heapq.heappush(heap, (cost(first, second), first, second, versions[first], versions[second]))
    return order
