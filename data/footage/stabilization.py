"""Removing slow drift of the camera from a clip, without removing the swaying in it.

Points of the first frame are tracked through all others. Points that move slowly and smoothly are taken to stand still
in the scene. For each frame a similarity (shift, rotation, scale) is fitted to them, first robustly, then again to the
points that follow it in most frames. These similarities are smoothed over time, so that only motion slower than swaying
is removed. Last, the frames are cropped to what is always visible.
"""

from __future__ import annotations

import numpy as np

WORKING_SCALE = 2  # frames are moved at twice the resolution of the result, then averaged down: that keeps them sharp
# Width of the smoothing. It removes 99 % of motion at 0.1 Hz, 93 % at 0.2 Hz, 24 % at 0.5 Hz and none at 1 Hz.
SLOW_SECONDS = 0.75
MAX_POINTS = 400  # points that are tracked, at most
FEWEST_POINTS = 12  # points that a similarity is fitted to, at least
TOLERANCE = 1.0  # working pixels that a point which stands still may be away from where the similarity puts it
STILL = 0.7  # share of the frames in which it has to be within that distance
CALM = 1.5  # a candidate may move fast by so many times what the calmest tenth of points do,
CALM_PIXELS = 0.3  # or by so many working pixels, whichever is more
SMALLEST_VIEW = 0.6  # share of the picture's sides that has to be left


def stabilize(frames: np.ndarray, fps: float, size: tuple[int, int]) -> np.ndarray:
    """The frames that the camera would have taken had it stayed where it was at first.

    Args:
        frames: uint8 ``[T, H, W, 3]``, best `WORKING_SCALE` times as large as the result.
        size: (width, height) of the result, of the same aspect ratio.

    Returns:
        uint8 ``[T, height, width, 3]``.

    Raises:
        ValueError: too few points stand still, or the drift leaves too little of the picture.
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
    # Maps pixels of the enlarged result to pixels of the first frame. Pixel centres have whole numbers.
    zoom = np.array([[share, 0, centre_x - share * (width - 1) / 2], [0, share, centre_y - share * (height - 1) / 2]])
    result = np.empty((len(frames), size[1], size[0], 3), np.uint8)
    for index, (frame, transform) in enumerate(zip(frames, transforms, strict=True)):
        matrix = transform @ np.vstack([zoom, [0, 0, 1]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(frame, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        result[index] = cv2.resize(moved, size, interpolation=cv2.INTER_AREA)
    return result


def camera_path(frames: np.ndarray, fps: float) -> np.ndarray:
    """How the camera moved: float64 ``[T, 4]``, logarithm of the scale, rotation in radians, shift x and y in pixels.

    Row t is the similarity about the picture's centre that maps what stands still in frame 0 to frame t. Row 0 is zero.

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

    Around each time a parabola is fitted, with Gaussian weights of width `SLOW_SECONDS`. So a drift of constant speed
    or constant acceleration is found exactly, even at the ends of the clip.
    """
    smooth = smoothing_matrix(len(path), fps) @ path
    return smooth - smooth[0]


def smoothing_matrix(num_frames: int, fps: float) -> np.ndarray:
    """The smoothing as a matrix ``[T, T]``: it maps a series to the values of the fitted parabolas."""
    times = np.arange(num_frames) / fps / SLOW_SECONDS
    rows = np.empty((num_frames, num_frames))
    for row, time in zip(rows, times, strict=True):
        weights = np.exp(-0.25 * (times - time) ** 2)  # square roots of the weights, because least squares squares them
        powers = (times - time)[:, None] ** np.arange(min(3, num_frames))
        row[:] = np.linalg.pinv(weights[:, None] * powers)[0] * weights
    return rows


def similarity_matrix(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """``[2, 3]`` that maps points of frame 0 to another frame; ``values`` are a row of :func:`camera_path`."""
    scale, angle = np.exp(values[0]), values[1]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.hstack([turn, (centre + values[2:] - turn @ centre)[:, None]])


def visible_view(transforms: list[np.ndarray], width: int, height: int) -> tuple[float, float, float]:
    """The largest part of frame 0, in its aspect ratio, that all frames show: centre x, y and share of the sides.

    That a corner lies inside a frame is four inequalities, linear in the three unknowns. So the answer is the solution
    of a linear programme.
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
        # Lost points are searched for again, displaced as the others are in the median.
        if seen.any():
            last = np.where(
                seen[:, None], tracks[index], points + np.median(tracks[index, seen] - points[seen], axis=0)
            )
    return tracks


def _calm(tracks: np.ndarray, fps: float) -> np.ndarray:
    """Which points ``[N]`` are seen in most frames and have hardly any fast motion, as what sways has."""
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
    """Where points ``[N, 2]`` of the first frame are now; NaN where tracking fails or does not lead back."""
    import cv2

    window: dict = {"winSize": (21, 21), "maxLevel": 3, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    now, found, _ = cv2.calcOpticalFlowPyrLK(first, gray, points, guess.astype(np.float32), **window)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(gray, first, now, points.copy(), **window)
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (np.linalg.norm(back - points, axis=1) < 0.5)
    return np.where(good[:, None], now, np.nan)


def _fit_robustly(
    points: np.ndarray, targets: np.ndarray, width: int, height: int, otherwise: np.ndarray
) -> np.ndarray:
    """The similarity that most points follow, as a row of :func:`camera_path`; ``otherwise`` where too few are seen."""
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
    """The least squares similarity between points ``[N, 2]`` and their targets, as a row of :func:`camera_path`."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    start, end = points - centre, targets - centre
    start_mean, end_mean = start.mean(axis=0), end.mean(axis=0)
    # With points as complex numbers, a similarity is a multiplication by one factor and a shift.
    one, other = ((values - mean) @ np.array([1, 1j]) for values, mean in ((start, start_mean), (end, end_mean)))
    factor = np.vdot(one, other) / np.vdot(one, one)
    shift = end_mean @ np.array([1, 1j]) - factor * (start_mean @ np.array([1, 1j]))
    return np.array([np.log(abs(factor)), np.angle(factor), shift.real, shift.imag])


def _standing_still(points: np.ndarray, targets: np.ndarray, path: np.ndarray, width: int, height: int) -> np.ndarray:
    """Which points ``[N]`` follow the camera's path in most of all frames."""
    residuals = np.stack(
        [_residuals(points, now, values, width, height) for now, values in zip(targets, path, strict=True)]
    )
    return (residuals <= TOLERANCE).mean(axis=0) >= STILL


def _residuals(points: np.ndarray, targets: np.ndarray, values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Distance in pixels between each target and where the similarity maps its point; infinite for lost points."""
    distances = np.linalg.norm(targets - _moved(points, similarity_matrix(values, width, height)), axis=1)
    return np.where(np.isfinite(distances), distances, np.inf)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]
