"""The stillness table: how much the model moves what should stand still, over how much it moves plants.

It needs no film: photos in which nothing sways, and in all others the regions that their class maps
(`data.synthetic.maps`) call walls, roads or sky on one side and vegetation on the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from common.command_line import one_line, select_device
from common.hashing import file_sha256
from common.stopwatch import Stopwatch
from data.footage.find import find_sources
from data.media.images import IMAGE_SUFFIXES, read_image, write_image
from data.media.pictures import contact_sheet, magnitude_map
from data.synthetic.maps.files import NETWORK_HASHES, read_maps
from evaluation.metrics.distances import bootstrap_statistic
from evaluation.metrics.registry import of_table
from evaluation.options import StillnessOptions
from evaluation.report.report import checkpoint_provenance, write_csv
from evaluation.still_regions import high_amplitude, regions
from models.photos import Photo
from models.pipeline import ImageDynamicsPipeline
from models.spectral_volume import REFERENCE_WIDTH, motion_amplitude, resize_motion

ROW = "model"
SHOWN = 2.0  # pixels at the reference width, the brightest of the sheet
CELL = (192, 128)  # width and height of a picture on the sheet


def evaluate_stillness(options: StillnessOptions) -> dict:
    """The report of ``evaluate.py stillness``, whose fields docs/evaluation.md describes.

    Raises:
        ValueError: one line: no photos, none that a pattern of still photos fits, a checkpoint or map that won't do.
        FloatingPointError: the checkpoint gives motion that is not finite.
    """
    from tqdm import tqdm

    clock = Stopwatch()
    photos = list_photos(options)
    with clock("loading weights"):
        pipeline = ImageDynamicsPipeline.from_pretrained(options.checkpoint, parts=("motion",))
        pipeline = pipeline.to(select_device(options.device))
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of sampling
    scores: dict[str, dict[str, float]] = {}
    networks: dict[str, str] = {}
    digests: dict[str, str] = {}
    pictures: list[np.ndarray] = []
    failures: list[str] = []
    for name, path in tqdm(photos.items(), unit=" photos", dynamic_ncols=True):
        try:
            image = read_image(path)
        except (ValueError, OSError) as error:
            failures.append(one_line(error))
            continue
        with clock("sampling"):
            amplitudes = [
                sampled_amplitude(pipeline, image, options, seed=options.seed + number)
                for number in range(options.samples)
            ]
        digests[name] = file_sha256(path)
        maps, hashes = read_maps(options.maps, path, digests[name]) if options.maps else ({}, {})
        networks |= hashes
        scores[name] = judge(amplitudes, maps, still=is_still(name, options.still_photos))
        if options.output:
            pictures += [cell(image), cell(magnitude_map(amplitudes[0], SHOWN))]
    if not scores:
        raise ValueError(f"{options.photos}: none of its photos can be read, the first because: {failures[0]}")
    report = {
        "format_version": 1,
        "kind": "stillness",
        "data": provenance(options.photos, digests),
        "checkpoint": checkpoint_provenance(options.checkpoint, ("motion",)),
        "weights": {name: networks.get(name) for name in NETWORK_HASHES},
        "seed": options.seed,
        "protocol": protocol(options, pipeline),
        **summary(scores),
        "warnings": [f"left out: {failure}" for failure in failures],
        "per_sequence": {ROW: scores},
        "timings": clock.seconds,
    }
    if options.output:
        write_csv(options.output / "per_photo.csv", report)
        write_image(options.output / "stillness.png", contact_sheet(pictures, 8))
    return report


def list_photos(options: StillnessOptions) -> dict[str, Path]:
    """Photos of the folder by their names below it."""
    found = {name: path for path, name in find_sources([options.photos], IMAGE_SUFFIXES, thing="photo")}
    patterns = [pattern for pattern in options.still_photos if not any(fnmatch(name, pattern) for name in found)]
    if patterns:
        raise ValueError(f"--still-photos {patterns[0]}: no photo below {options.photos} has such a name")
    return found


def is_still(name: str, patterns: Iterable[str]) -> bool:
    """Whether nothing in this photo should move."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def sampled_amplitude(
    pipeline: ImageDynamicsPipeline, image: np.ndarray, options: StillnessOptions, *, seed: int
) -> np.ndarray:
    """Amplitude of a sample, float [h, w] in pixels of a picture :data:`REFERENCE_WIDTH` wide."""
    from common.images import image_to_tensor

    photo = Photo(image_to_tensor(image))
    volume = pipeline.predict_motion(photo, seed=seed, steps=options.steps, guidance=options.guidance)
    size = (max(1, round(REFERENCE_WIDTH * image.shape[0] / image.shape[1])), REFERENCE_WIDTH)
    return motion_amplitude(resize_motion(volume, size))[0, 0].numpy()


def judge(amplitudes: Sequence[np.ndarray], maps: Mapping[str, np.ndarray], *, still: bool) -> dict[str, float]:
    """What one photo contributes: the mean over its samples of high amplitudes, by column."""
    if still:
        return {"still_photos": float(np.mean([high_amplitude(amplitude) for amplitude in amplitudes]))}
    values = {}
    for name, region in regions(maps, amplitudes[0].shape).items():
        if region is not None:
            values[name] = float(np.mean([high_amplitude(amplitude, region) for amplitude in amplitudes]))
    return values


def summary(scores: Mapping[str, Mapping[str, float]]) -> dict:
    """Medians over photos and their ratios, with 95 % bootstrap intervals over photos."""
    columns = of_table("stillness")
    result: dict = {part: {ROW: {}} for part in ("table", "intervals", "counts", "notes")}
    for name, column in columns.items():
        needed = [
            {photo: row[part] for photo, row in scores.items() if part in row} for part in column.parts or (name,)
        ]
        value, interval = _statistic(needed) if all(needed) else (None, None)
        for part, cell_value in zip(result, (value, interval, min(map(len, needed))), strict=False):
            result[part][ROW][name] = cell_value
        if value is None:
            result["notes"][ROW][name] = column.missing
    return result


def _statistic(needed: Sequence[Mapping[str, float]]) -> tuple[float, tuple[float, float] | None]:
    """The median over photos, or the ratio of two of them, and its interval; values of one photo are drawn together."""
    together = len(needed) > 1 and bool(set(needed[0]) & set(needed[1]))
    samples = [list(values.values()) for values in needed]
    if together:
        photos = list(dict.fromkeys(photo for values in needed for photo in values))
        samples = [[values.get(photo, np.nan) for photo in photos] for values in needed]
    return bootstrap_statistic(_ratio_of_medians, samples, together=together)


def _ratio_of_medians(above: np.ndarray, below: np.ndarray | None = None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw without any value
        medians = np.nanmedian(above, axis=-1)
        return medians if below is None else medians / np.maximum(np.nanmedian(below, axis=-1), 1e-9)


def provenance(folder: Path, digests: Mapping[str, str]) -> dict:
    """Which photos the table rests on, by name and sha256."""
    return {
        "name": folder.resolve().name,
        "sequences": len(digests),
        "sources": len(digests),
        "identities": {name: {"source": name, "fingerprint": digest[:16]} for name, digest in digests.items()},
    }


def protocol(options: StillnessOptions, pipeline: ImageDynamicsPipeline) -> dict:
    """How the figures were taken, in plain values."""
    guidance = pipeline.motion_config.guidance if options.guidance is None else options.guidance
    return {
        "amplitude": f"95th percentile over the region, in pixels at a width of {REFERENCE_WIDTH}; median over photos",
        "still_photos": list(options.still_photos),
        "maps": options.maps is not None,
        "samples": options.samples,
        "steps": options.steps or pipeline.motion_config.steps,
        "guidance": guidance,
    }


def cell(image: np.ndarray) -> np.ndarray:
    """A picture of the sheet, all of it on black."""
    import cv2

    width, height = CELL
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return canvas
