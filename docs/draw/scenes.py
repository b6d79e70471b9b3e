"""Draw scenes of a dataset folder, each as first frame, amplitude and a later frame if one is kept, into one picture.

``python -m docs.draw.scenes DATASET docs/media/simulated.jpg [--scenes N] [--columns C] [--skip S]``: N scenes, of as
many kinds as there are, C of them side by side, after leaving out the first S. Amplitude is the root mean square
displacement; white is 4 px at 256 px width.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

WHITE = 4 / 256  # of the width


def main(argv: list[str] | None = None) -> None:
    """Read the folder and write the picture."""
    from data.dataset.manifest import iterate_manifest
    from data.media.images import write_image
    from data.media.pictures import contact_sheet

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--skip", type=int, default=0)
    arguments = parser.parse_args(argv)
    rows = [row for row in iterate_manifest(arguments.dataset) if row["status"] == "kept"]
    chosen = by_turns(rows)[arguments.skip : arguments.skip + arguments.scenes]
    scenes = [scene_pictures(arguments.dataset, row) for row in chosen]
    pictures = [picture for scene in scenes for picture in scene]
    write_image(arguments.picture, contact_sheet(pictures, len(scenes[0]) * arguments.columns, gap=3))
    print(*(row["source"] for row in chosen), sep="\n")


def by_turns(rows: list[dict]) -> list[dict]:
    """Rows in an order in which the first of every kind come before the second."""
    seen: dict[str, int] = {}
    turns = []
    for row in rows:
        kind = row["source"].rpartition("_")[0]
        seen[kind] = seen.get(kind, 0) + 1
        turns.append((seen[kind], row))
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])]


def scene_pictures(folder: Path, row: dict) -> list[np.ndarray]:
    """First frame, amplitude and, where later frames are kept, the last of them, uint8 [H, W, 3] each."""
    from data.dataset.sequence_file import read_sequence, sequence_path
    from data.media.pictures import magnitude_map
    from models.spectral_volume import motion_amplitude

    tensors = read_sequence(sequence_path(folder, row["id"]))
    amplitude = motion_amplitude(tensors["spectral_volume"].float()[None])[0, 0].numpy()
    frames = [tensors["first_frame"], *tensors["frames"][-1:]]
    first, *later = (np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in frames)
    return [first, magnitude_map(amplitude, WHITE * row["width"]), *later]


if __name__ == "__main__":
    main()
