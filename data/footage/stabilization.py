"""Slow drift of the camera, measured on what stands still and removed; what sways keeps its motion.

Points of the first frame are followed into every other one. Those that move smoothly are candidates for what stands
still. A similarity (shift, rotation, scale) is fitted to them robustly, then again to those that follow it in most
frames. The similarities are smoothed over time, so that only what is slower than swaying is taken out, and the border
that is not always visible is cropped.
"""

from __future__ import annotations

import numpy as np

WORKING_SCALE = 2  # frames are moved at twice the resolution of the result, then averaged down: that keeps them sharp
SLOW_SECONDS = 0.75  # of the smoothing: of motion of 0.1 Hz 99 % are removed, of 0.2 Hz 93, of 0.5 Hz 24, of 1 Hz none
MAX_POINTS = 400
FEWEST_POINTS = 12
TOLERANCE = 1.0  # working pixels between a point that stands still and the similarity
STILL = 0.7  # of the frames in which such a point must follow it
CALM = 1.5  # times the fast motion of the calmest tenth of points is what a candidate may have,
CALM_PIXELS = 0.3  # and this in any case, in working pixels
SMALLEST_VIEW = 0.6  # of the picture's sides that may be left


def stabilize(frames: np.ndarray, fps: float, size: tuple[int, int]) -> np.ndarray:
    """Frames as a camera without drift would have taken them from where it was at first.

    Args:
        frames: uint8 ``[T, H, W, 3]``, best `WORKING_SCALE` times as large as the result.
        size: (width, height) of the result, of the same aspect ratio.

    Returns:
        uint8 ``[T, height, width, 3]``.

    Raises:
        ValueError: nothing that stands still is seen, or the drift leaves too little of the picture.
    """
    import cv2

    height, width = frames.shape[1:3]
    drift = slow_part(camera_path(frames, fps), fps)
    transforms = [similarity_matrix(values, width, height) for values in drift]
    centre_x, centre_y, share = visible_view(transforms, width, height)
    if share < SMALLEST_VIEW:
        raise ValueError(
            f"camera motion: its drift leaves {share:.0%} of the picture's sides after stabilisation, "
            f"{SMALLEST_VIEW:.0%} are needed"
        )
    # From pixels of the result, enlarged, to those of the first frame, whose centres are at whole numbers.
    zoom = np.array([[share, 0, centre_x - share * (width - 1) / 2], [0, share, centre_y - share * (height - 1) / 2]])
    result = np.empty((len(frames), size[1], size[0], 3), np.uint8)
    for index, (frame, transform) in enumerate(zip(frames, transforms, strict=True)):
        matrix = transform @ np.vstack([zoom, [0, 0, 1]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(frame, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        result[index] = cv2.resize(moved, size, interpolation=cv2.INTER_AREA)
    return result


def camera_path(frames: np.ndarray, fps: float) -> np.ndarray:
    """How the camera moved: float64 ``[T, 4]``, log scale, rotation in radians, shift x and y in pixels.

    They take what stands still from frame 0 to frame t, about the centre of the picture. Zero for frame 0.

    Args:
        frames: uint8 ``[T, H, W, 3]``.
    """
    import cv2

    height, width = frames.shape[1:3]
    first = cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY)
    points = cv2.goodFeaturesToTrack(first, MAX_POINTS, 0.01, max(5, width // 50))
    points = np.empty((0, 2), np.float32) if points is None else points[:, 0]
    targets = _tracks(frames, first, points)
    calm = _calm(targets, fps)
    points, targets = points[calm], targets[:, calm]
    if len(points) < FEWEST_POINTS:
        raise ValueError("stabilisation finds nothing to hold on to; leave out --stabilize or the video")
    path = np.zeros((len(frames), 4))
    for index in range(1, len(frames)):
        path[index] = _fit_robustly(points, targets[index], width, height, path[index - 1])
    still = _standing_still(points, targets, path, width, height)
    for index in range(1, len(frames)):
        seen = still & np.isfinite(targets[index, :, 0])
        if seen.sum() >= FEWEST_POINTS:
            residuals = _residuals(points, targets[index], path[index], width, height)
            near = seen & (residuals <= 3 * TOLERANCE)
            if near.sum() >= FEWEST_POINTS:
                path[index] = _fit(points[near], targets[index][near], width, height)
    return path


def slow_part(path: np.ndarray, fps: float) -> np.ndarray:
    """The slow part of a camera's path ``[T, 4]``, zero at frame 0.

    A parabola is fitted around each time with Gaussian weights of `SLOW_SECONDS`, so that a drift that is even or
    evenly accelerated is taken as it is, up to the ends.
    """
    smooth = smoothing_matrix(len(path), fps) @ path
    return smooth - smooth[0]


def smoothing_matrix(num_frames: int, fps: float) -> np.ndarray:
    """``[T, T]`` that takes a series to the value at each time of the parabola that fits best around it."""
    times = np.arange(num_frames) / fps / SLOW_SECONDS
    rows = np.empty((num_frames, num_frames))
    for row, time in zip(rows, times, strict=True):
        weights = np.exp(-0.25 * (times - time) ** 2)  # the square roots: least squares squares them
        powers = (times - time)[:, None] ** np.arange(min(3, num_frames))
        row[:] = np.linalg.pinv(weights[:, None] * powers)[0] * weights
    return rows


def similarity_matrix(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """``[2, 3]`` that maps points of frame 0 to another frame; ``values`` as in :func:`camera_path`."""
    scale, angle = np.exp(values[0]), values[1]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.hstack([turn, (centre + values[2:] - turn @ centre)[:, None]])


def visible_view(transforms: list[np.ndarray], width: int, height: int) -> tuple[float, float, float]:
    """The largest part of frame 0, in its aspect ratio, that all frames show: centre x, y and share of the sides.

    A corner lies inside a frame if four inequalities hold that are linear in the three unknowns: a linear programme.
    """
    from scipy.optimize import linprog

    rows, bounds = [], []
    limits = np.array([width - 1.0, height - 1.0])
    for transform in transforms:
        for corner in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)):
            along = transform[:, :2] @ (np.array(corner) * limits)
            coefficients = np.column_stack([transform[:, :2], along])  # of centre x, centre y and share
            rows += [*coefficients, *-coefficients]
            bounds += [*(limits - transform[:, 2]), *transform[:, 2]]
    found = linprog([0, 0, -1], rows, bounds, bounds=[(None, None), (None, None), (0, 1)])
    return tuple(found.x) if found.status == 0 else (limits[0] / 2, limits[1] / 2, 0.0)


def _tracks(frames: np.ndarray, first: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where points ``[N, 2]`` of the first frame are in every frame: ``[T, N, 2]``, NaN where they are lost."""
    import cv2

    tracks = np.full((len(frames), len(points), 2), np.nan)
    tracks[0] = points
    last = points.astype(np.float64)
    for index in range(1, len(frames) if len(points) else 0):
        gray = cv2.cvtColor(frames[index], cv2.COLOR_RGB2GRAY)
        tracks[index] = _follow(first, gray, points, last)
        seen = np.isfinite(tracks[index, :, 0])
        # Lost ones are looked for again where the others have gone.
        if seen.any():
            last = np.where(
                seen[:, None], tracks[index], points + np.median(tracks[index, seen] - points[seen], axis=0)
            )
    return tracks


def _calm(tracks: np.ndarray, fps: float) -> np.ndarray:
    """Which points ``[N]`` are seen in most frames and hardly move but slowly: what sways fast does not stand still."""
    seen = np.isfinite(tracks[..., 0])
    calm = seen.mean(axis=0) >= STILL
    times = np.arange(len(tracks))
    filled = tracks[:, calm].copy()
    for number, there in enumerate(seen[:, calm].T):
        for axis in range(2):
            filled[:, number, axis] = np.interp(times, times[there], filled[there, number, axis])
    slow = np.tensordot(smoothing_matrix(len(tracks), fps), filled, axes=1)
    fast = np.sqrt(((filled - slow) ** 2).sum(axis=-1).mean(axis=0))
    if len(fast):
        calm[calm] = fast <= max(CALM_PIXELS, CALM * float(np.percentile(fast, 10)))
    return calm


def _follow(first: np.ndarray, gray: np.ndarray, points: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Where points ``[N, 2]`` of the first frame are now; NaN for those that are lost or do not find back."""
    import cv2

    window: dict = {"winSize": (21, 21), "maxLevel": 3, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    now, found, _ = cv2.calcOpticalFlowPyrLK(first, gray, points, guess.astype(np.float32), **window)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(gray, first, now, points.copy(), **window)
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (np.linalg.norm(back - points, axis=1) < 0.5)
    return np.where(good[:, None], now, np.nan)


def _fit_robustly(
    points: np.ndarray, targets: np.ndarray, width: int, height: int, otherwise: np.ndarray
) -> np.ndarray:
    """Values of the similarity that most points follow; ``otherwise`` where too few are seen."""
    import cv2

    seen = np.isfinite(targets[:, 0])
    if seen.sum() < FEWEST_POINTS:
        return otherwise
    _, inliers = cv2.estimateAffinePartial2D(
        points[seen], targets[seen].astype(np.float32), method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE
    )
    kept = np.zeros(len(points), bool)
    kept[seen] = False if inliers is None else inliers[:, 0] == 1
    return _fit(points[kept], targets[kept], width, height) if kept.sum() >= FEWEST_POINTS else otherwise


def _fit(points: np.ndarray, targets: np.ndarray, width: int, height: int) -> np.ndarray:
    """Values of the least squares similarity between points ``[N, 2]`` and their targets."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    start, end = points - centre, targets - centre
    start_mean, end_mean = start.mean(axis=0), end.mean(axis=0)
    # As complex numbers a similarity is one factor and a shift.
    one, other = ((values - mean) @ np.array([1, 1j]) for values, mean in ((start, start_mean), (end, end_mean)))
    factor = np.vdot(one, other) / np.vdot(one, one)
    shift = end_mean @ np.array([1, 1j]) - factor * (start_mean @ np.array([1, 1j]))
    return np.array([np.log(abs(factor)), np.angle(factor), shift.real, shift.imag])


def _standing_still(points: np.ndarray, targets: np.ndarray, path: np.ndarray, width: int, height: int) -> np.ndarray:
    """Which points ``[N]`` follow the path in most frames in which they are seen, and are seen in most."""
    residuals = np.stack(
        [_residuals(points, now, values, width, height) for now, values in zip(targets, path, strict=True)]
    )
    return (residuals <= TOLERANCE).mean(axis=0) >= STILL


def _residuals(points: np.ndarray, targets: np.ndarray, values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Distance in pixels of each target from where the similarity takes its point; infinite for lost ones."""
    distances = np.linalg.norm(targets - _moved(points, similarity_matrix(values, width, height)), axis=1)
    return np.where(np.isfinite(distances), distances, np.inf)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]
