"""A contact sheet of layered photos, to look at: things and hinges, first frame, amplitude, a later frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.dataset.manifest import iterate_manifest
from data.dataset.reading import read_sequence
from data.dataset.sequence import SequencePlan
from data.dataset.sequence_file import sequence_path
from data.media.images import read_image, resize_and_crop, write_image
from data.media.pictures import contact_sheet, magnitude_map
from data.synthetic.shown import Shown, reading_of
from data.synthetic.things.reading import STILL
from data.synthetic.things.thing import Thing
from models.spectral_volume import motion_amplitude

PANEL = (240, 150)  # pixels, width and height
COLUMNS = 2  # sequences beside each other


def write_sheet(path: Path, folder: Path, plan: SequencePlan, *, maps: Path, count: int) -> None:
    """Write a sheet of so many sequences of a dataset folder, evenly chosen among the kept ones.

    Args:
        plan: a PhotoPlan, which knows what the photos show.
        maps: folder of their maps.
    """
    shown: dict[str, Shown] = plan.shown  # type: ignore[attr-defined]
    rows = [row for row in iterate_manifest(folder) if row["status"] == "kept"]
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
    paths = {source.sha256: source.path for source in plan.sources}
    pictures = []
    for row in chosen:
        digest = row["source_sha256"]
        pictures.append(_row(folder, row, shown[digest], photo=paths[digest], maps=maps))
    write_image(path, contact_sheet(pictures, min(COLUMNS, len(pictures))))


def _row(folder: Path, row: dict, seen: Shown, *, photo: str, maps: Path) -> np.ndarray:
    """The panels of a sequence side by side: uint8 [h, w, 3]."""
    import cv2

    tensors = read_sequence(sequence_path(folder, row["id"]))
    image = read_image(photo)
    things = []
    if seen.verdict != STILL:
        things = reading_of(photo, row["source_sha256"], seen.category, maps)[0].things
    first = tensors["first_frame"].permute(1, 2, 0).numpy()
    amplitude = motion_amplitude(tensors["spectral_volume"].float()[None])[0, 0].numpy()
    flows = tensors["flows"].float().square().sum(dim=1).mean(dim=(1, 2)).numpy()
    later = tensors["frames"][int(flows.argmax())].permute(1, 2, 0).numpy()
    panels = [
        picture_of_things(image, things),
        first,
        magnitude_map(amplitude, max(float(amplitude.max()), 0.2)),
        later,
    ]
    picture = np.hstack([resize_and_crop(panel, PANEL) for panel in panels])
    text = f"{Path(row['source']).stem}: {seen.line} {amplitude.max():.1f} px"
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 0), 1)):
        cv2.putText(picture, text[:150], (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, color, thickness)
    return picture


def picture_of_things(photo: np.ndarray, things: list[Thing]) -> np.ndarray:
    """The photo, darkened where it stays still, with the things in colours and a line from each hinge: uint8 RGB."""
    import cv2

    picture = (photo * 0.4).astype(np.uint8)
    random = np.random.default_rng(1)
    for thing in things:
        picture[thing.mask] = 0.6 * photo[thing.mask] + 0.4 * random.uniform(90, 255, 3)
    for thing in things:
        hinge = thing.hinge
        foot = round(hinge.x), round(hinge.y)
        tip = round(hinge.x + hinge.length * hinge.axis[0]), round(hinge.y + hinge.length * hinge.axis[1])
        cv2.line(picture, foot, tip, (0, 255, 255) if hinge.wide else (255, 255, 255), 2)
        cv2.circle(picture, foot, 4, (255, 0, 0), -1)
    return picture
