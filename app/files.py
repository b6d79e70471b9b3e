"""Which files a run of generate.py makes of a photo: their names, sizes and checks, and what goes into them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from common.command_line import parse_size

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

DEFAULT_LONG_SIDE = 512  # pixels
SMALLEST_SIDE, LARGEST_SIDE = 16, 8192
PREVIEW_SIDE, PREVIEW_FPS = 360, 15  # small enough for a web page


@dataclass(frozen=True)
class LoopFiles:
    """One photo and the files that are made of it."""

    photo: Path
    photo_size: tuple[int, int]  # (W, H)
    loop: Path
    size: tuple[int, int]  # (W, H) of the loop's frames
    preview: Path | None = None  # a small animation
    motion: Path | None = None  # the figure of its motion
    xt_slice: Path | None = None
    row: int | None = None  # of the X-t slice

    def outputs(self) -> list[Path]:
        """All files that will be written, the loop first."""
        return [path for path in (self.loop, self.preview, self.motion, self.xt_slice) if path]


def plan_files(
    photos: Sequence[Path],
    output: str | None,  # a file, a folder, or None for outputs/
    size: str | None,  # native, WxH, or None for the default
    preview: str | None,  # suffix without its dot
    show_motion: bool,
    row: int | None,
) -> list[LoopFiles]:
    """The files of every photo. Each photo is read once here, so that a bad one stops before any work is done.

    Raises:
        ValueError: for whatever can't work, in one line.
    """
    from data.media.images import read_image
    from data.media.write_video import check_output_suffix

    planned = []
    for photo in photos:
        loop = loop_path(photo, output, several=len(photos) > 1)
        check_output_suffix(loop)
        height, width = read_image(photo).shape[:2]
        frame_size = parse_frame_size(size, (width, height))
        if row is not None and not 0 <= row < frame_size[1]:
            raise ValueError(f"--xt-slice {row}: {loop} has rows 0 to {frame_size[1] - 1}")
        files = LoopFiles(
            photo, (width, height), loop, frame_size,
            preview=loop.with_name(f"{loop.stem}_preview.{preview}") if preview else None,
            motion=loop.with_name(f"{loop.stem}_motion.png") if show_motion else None,
            xt_slice=loop.with_name(f"{loop.stem}_xt.png") if row is not None else None,
            row=row,
        )  # fmt: skip
        planned.append(files)
    return planned


def loop_path(photo: Path, output: str | None, several: bool) -> Path:
    """Where a photo's loop goes: OUT itself, or ``<photo>.mp4`` in the folder that it names."""
    name = f"{photo.stem}.mp4"
    if output is None:
        return Path("outputs") / name
    path = Path(output)
    if path.is_dir() or output.endswith(("/", "\\")) or not path.suffix:
        return path / name
    if several:
        raise ValueError(f"--output {output}: several photos need a folder to go to")
    return path


def parse_frame_size(text: str | None, photo_size: tuple[int, int]) -> tuple[int, int]:
    """(W, H) of the frames for a ``--size`` option."""
    if text == "native":
        size = photo_size
    elif text is not None:
        try:
            size = parse_size(text)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"--size {error}, or native") from None
    else:
        size = fit_size(photo_size, DEFAULT_LONG_SIDE)
    if not SMALLEST_SIDE <= min(size) <= max(size) <= LARGEST_SIDE:
        limits = f"sides of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels can be rendered"
        raise ValueError(f"--size {size[0]}x{size[1]}: {limits}")
    return size


def fit_size(photo_size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(W, H) in a photo's shape with no side longer than ``long_side`` and both even, as H.264 wants them."""
    scale = min(1.0, long_side / max(photo_size))
    width, height = (max(SMALLEST_SIDE, 2 * round(side * scale / 2)) for side in photo_size)
    return width, height


def check_paths(inputs: Iterable[Path | None], outputs: Iterable[Path | None]) -> None:
    """Make sure that every output can be made and none is written twice or over an input; leaves nothing behind."""
    taken = {path.resolve() for path in inputs if path}
    for path in filter(None, outputs):
        if path.resolve() in taken:
            raise ValueError(f"{path}: would be written twice, or over an input; choose another --output")
        taken.add(path.resolve())
        if path.is_dir():
            raise ValueError(f"{path}: is a folder, name a file in it")
        # A real file, since permission bits don't tell about read-only or full disks, nor anything to root.
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ValueError(f"{path}: no file can be made in {folder} ({error.strerror})") from None


class FrameRecorder:
    """Sees every frame once on its way to the loop's file and keeps what the files beside it need of it."""

    def __init__(self, files: LoopFiles, num_frames: int, fps: float) -> None:
        self.files = files
        self.rows: list[np.ndarray] = []
        self.preview: list[np.ndarray] = []
        # Evenly spaced over the loop, so that the preview's seam is a step like its others.
        count = min(num_frames, max(2, round(num_frames * PREVIEW_FPS / fps)))
        self.preview_fps = fps * count / num_frames
        self._chosen = {index * num_frames // count for index in range(count)} if files.preview else set()
        scale = min(1.0, PREVIEW_SIDE / max(files.size))
        self._preview_size = max(1, round(files.size[0] * scale)), max(1, round(files.size[1] * scale))

    def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same frames, uint8 ``[H, W, 3]``."""
        from data.media.images import resize_and_crop

        for index, frame in enumerate(frames):
            if self.files.row is not None:
                self.rows.append(frame[self.files.row].copy())
            if index in self._chosen:
                self.preview.append(resize_and_crop(frame, self._preview_size))
            yield frame

    def write(self) -> None:
        """Write the preview and the X-t slice, where they are wanted."""
        import numpy as np

        from data.media.images import write_image
        from data.media.write_video import write_video

        if self.files.preview:
            write_video(self.files.preview, self.preview, self.preview_fps)
        if self.files.xt_slice:
            write_image(self.files.xt_slice, np.stack(self.rows))


def counted(frames: Iterable[np.ndarray], count: int, meter: Meter) -> Iterator[np.ndarray]:
    """The same frames, with a progress bar and each shown to a meter on the way, as a float tensor."""
    import torch
    from tqdm import tqdm

    for frame in tqdm(frames, total=count, desc="frames", unit="frame", disable=None):
        meter.add(torch.from_numpy(frame).float())
        yield frame


class Meter(Protocol):
    """What looks at frames, such as :class:`models.dynamics.seam.SeamMeter`."""

    def add(self, values: Tensor) -> None:
        """Look at the next frame."""
