"""The stem that holds a head: followed downwards in the photo where it is seen, assumed below the head elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.synthetic.segments import bounding_box
from data.synthetic.things.evidence import Evidence

WIDTHS = (3, 5, 8, 12, 18, 26)  # photo pixels, of stems that are looked for
CLEAR = 7.0  # Lab units between a stem and both of its sides
GAP = 24  # photo pixels over which the mean contrast must stay clear
SHORTEST = 0.45  # of the head's height
ASSUMED = 2.4  # heights of the head between its middle and the foot of a stem that isn't seen
WANDERING = 2.5  # Lab units of contrast that a step to the side has to be worth
ENOUGH = 14.0  # Lab units of contrast, above which a line is not more of a stem
CROOKED = 2.5  # photo pixels between a path and the parabola next to it, in the mean, from which on it is no stem
MOST_REST = 1.2  # of the head's area that the rest of a subject may take to be its stem
THICKEST = 0.28  # thickness of that in square roots of the head's area
THIN = 0.1  # the same of what is clearly a stem, whatever its direction
WIDEST = 0.8  # mean width of that in radii of the head
STEEP = 0.8  # pixels to the side a pixel down, at most, from head to foot


@dataclass(frozen=True)
class Stem:
    """Foot and top of a stem in photo pixels, and its pixels if it is seen."""

    foot: tuple[float, float]  # x, y
    top: tuple[float, float]  # where the head sits on it
    mask: np.ndarray | None  # bool [H, W]


def stem_contrast(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each pixel looks like part of an upright line: contrast to both sides in Lab units, and its width.

    A line is lighter, darker or of another colour than what is to its left and to its right: float32 [H, W] each.
    """
    import cv2

    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    best, widths = np.zeros(photo.shape[:2], np.float32), np.full(photo.shape[:2], WIDTHS[0], np.float32)
    for width in WIDTHS:
        smooth = cv2.blur(lab, (max(1, width // 2), 3))
        shift = width
        left, right = np.roll(smooth, shift, axis=1), np.roll(smooth, -shift, axis=1)
        here_left, here_right = smooth - left, smooth - right
        same = np.sign(here_left) == np.sign(here_right)
        ridge = np.where(same, np.minimum(np.abs(here_left), np.abs(here_right)), 0)
        contrast = np.sqrt(np.square(ridge * (0.7, 1.0, 1.0)).sum(axis=2)).astype(np.float32)
        contrast[:, :shift] = contrast[:, -shift:] = 0
        better = contrast > best * 1.1
        best, widths = np.where(better, contrast, best), np.where(better, width, widths).astype(np.float32)
    return best, widths


def find_stem(
    head: np.ndarray,
    others: np.ndarray,
    lines: tuple[np.ndarray, np.ndarray],
    evidence: Evidence,
    *,
    taken: np.ndarray,
) -> Stem:
    """The stem of a head.

    Args:
        head: bool [H, W].
        others: bool [H, W], all heads: a stem ends where it reaches another one.
        lines: what :func:`stem_contrast` gives.
        taken: bool [H, W], stems of other heads, which are not this one's.
    """
    rows, columns = bounding_box(head, 0)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    ys, xs = np.nonzero(head)
    middle = float(xs.mean())
    low, high = int(middle - 0.36 * width), int(middle + 0.36 * width) + 1
    likeness = np.minimum(lines[0], ENOUGH) * (
        0.35 + 0.65 * np.maximum.reduce([evidence.leafy, evidence.subject, 0.8 * evidence.sharp])
    )
    # Fences and frames are upright lines too.
    likeness = likeness * (1 - evidence.group("built", "support") * evidence.sharp * (1 - evidence.leafy)) * ~taken
    path = _follow(likeness, head, others, (max(0, low), min(head.shape[1], high)))
    if path is not None and len(path[0]) >= max(SHORTEST * height, 14) and _is_smooth(*path):
        path_y, path_x = path
        mask = np.zeros(head.shape, np.uint8)
        _draw(mask, path_y, path_x, lines[1])
        foot, top = _ends(path_y, path_x, head.shape, height)
        return Stem(foot, top, mask > 0)
    foot_y = float(ys.mean()) + height * ASSUMED
    return Stem((middle, foot_y), (middle, float(ys.max())), None)


def stem_in_matte(head: np.ndarray, every: np.ndarray, evidence: Evidence) -> Stem | None:
    """What a subject's matte shows beside a head: its stem, in whichever direction, and leaves on it.

    Args:
        every: bool [H, W], all heads.
    """
    import cv2

    subject = evidence.subject > 0.5
    if not (subject & head).sum() > 0.5 * head.sum():
        return None
    rest = cv2.morphologyEx((subject & ~every).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    near: np.ndarray = cv2.dilate(head.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    _, labels = cv2.connectedComponents(rest, connectivity=8)
    touching = np.unique(labels[near & (rest > 0)])
    mask = np.isin(labels, touching[touching > 0])
    if mask.sum() < 40 or mask.sum() > MOST_REST * head.sum():
        return None
    thickness = float(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3).max())
    if thickness > THICKEST * float(head.sum()) ** 0.5 or evidence.group("built", "support")[mask].mean() > 0.6:
        return None
    ys, xs = np.nonzero(head)
    center = np.array([xs.mean(), ys.mean()])
    rest_y, rest_x = np.nonzero(mask)
    away = np.hypot(rest_x - center[0], rest_y - center[1]) + (rest_y - center[1])
    far = np.array([rest_x[away.argmax()], rest_y[away.argmax()]], float)
    radius = float(head.sum() / np.pi) ** 0.5
    length = float(np.linalg.norm(far - center))
    if length < 1.5 * radius or mask.sum() > WIDEST * radius * (length - radius):
        return None
    direction = (far - center) / length
    thin = thickness < THIN * float(head.sum()) ** 0.5
    if direction[1] < (0.0 if thin else 0.5):  # leaves stick out to the sides, stems go down
        return None
    foot, top = far + 0.4 * (length - radius) * direction, center + 0.9 * radius * direction
    return Stem((float(foot[0]), float(foot[1])), (float(top[0]), float(top[1])), mask)


def _ends(
    path_y: np.ndarray, path_x: np.ndarray, shape: tuple[int, ...], height: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Foot and top; a stem that is lost sight of goes on as it did, for half of its length or to the photo's edge."""
    foot_x, foot_y = float(path_x[-1]), float(path_y[-1])
    length = foot_y - path_y[0]
    further = max(0.5 * length, 0.8 * height) if foot_y < shape[0] - 3 else max(0.35 * length, 0.5 * height)
    tail = slice(-max(8, len(path_y) // 2), None)
    slope = float(np.polyfit(path_y[tail], path_x[tail], 1)[0]) if len(path_y) > 8 else 0.0
    return (foot_x + float(np.clip(slope, -0.7, 0.7)) * further, foot_y + further), (float(path_x[0]), float(path_y[0]))


def _follow(
    contrast: np.ndarray, head: np.ndarray, others: np.ndarray, columns: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The best path downwards from the lower border of a head, by dynamic programming, as long as it is clear.

    Returns:
        Rows and columns of the path int [n], or None.
    """
    bottoms = np.array([np.flatnonzero(head[:, x])[-1] if head[:, x].any() else -1 for x in range(*columns)])
    if not len(bottoms) or bottoms.max() < 0:
        return None
    start = int(np.median(bottoms[bottoms >= 0]))
    if start >= head.shape[0] - 12:
        return None
    values = np.where(others, 0, contrast)[start + 1 :]
    width = values.shape[1]
    score = np.full(width, -1e6)
    score[slice(*columns)] = 0
    steps = np.zeros(values.shape, np.int8)
    totals = np.empty(values.shape)
    for row in range(len(values)):
        moves = np.stack([np.roll(score, 1) - WANDERING, score, np.roll(score, -1) - WANDERING])
        moves[0, 0] = moves[2, -1] = -1e9
        choice = moves.argmax(axis=0)
        score = moves[choice, np.arange(width)] + values[row]
        steps[row], totals[row] = choice - 1, score
    return _clear_part(values, steps, totals, start)


def _clear_part(
    values: np.ndarray, steps: np.ndarray, totals: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Backtrack from the row down to which the best path stays clear."""
    advantage = totals.max(axis=1) - CLEAR * np.arange(1, len(values) + 1)
    end = int(advantage.argmax())
    if advantage[end] <= 0 or end < 8:
        return None
    column = int(totals[end].argmax())
    path_x = np.empty(end + 1, int)
    for row in range(end, -1, -1):
        path_x[row] = column
        column += int(steps[row, column])
    contrast = values[np.arange(end + 1), path_x]
    gap = min(GAP, end + 1)
    running = np.convolve(contrast, np.ones(gap) / gap, mode="valid")
    unclear = np.flatnonzero(running < 0.5 * CLEAR)
    if len(unclear):
        end = int(unclear[0])
    return (np.arange(start + 1, start + 2 + end), path_x[: end + 1]) if end >= 8 else None


def _is_smooth(path_y: np.ndarray, path_x: np.ndarray) -> bool:
    """Whether a path is nearly a parabola and not too inclined."""
    along = (path_y - path_y[0]) / max(1, len(path_y) - 1)
    fitted = np.polyval(np.polyfit(along, path_x, 2), along)
    inclined = abs(fitted[-1] - fitted[0]) / len(path_y)
    return bool(np.abs(path_x - fitted).mean() < CROOKED and inclined < STEEP)


def _draw(mask: np.ndarray, path_y: np.ndarray, path_x: np.ndarray, widths: np.ndarray) -> None:
    """Mark a stem as wide as its lines are, changing the mask uint8 [H, W]."""
    import cv2

    width = max(2, round(float(np.median(widths[path_y, path_x]))))
    smooth_x = np.convolve(np.pad(path_x.astype(float), 4, mode="edge"), np.ones(9) / 9, mode="valid")
    points = np.stack([smooth_x, path_y], axis=1).round().astype(np.int32)
    points = np.concatenate([[[points[0, 0], points[0, 1] - 4]], points]).astype(np.int32)
    cv2.polylines(mask, [points[:, None]], False, 1, width)
