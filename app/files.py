"""The files that are made of a photo: their names, their checks, and the pictures that are kept on the way to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.options import FileOptions

if TYPE_CHECKING:
    import numpy as np

PREVIEW_SIDE, PREVIEW_FPS = 360, 15  # small enough for a web page


@dataclass(frozen=True)
class LoopFiles:
    """One photo and the files that are made of it."""

    photo: Path
    loop: Path
    preview: Path | None = None  # a small animation
    motion_picture: Path | None = None  # the figure of its motion
    xt_slice: Path | None = None
    row: int | None = None  # the row that the X-t slice shows
    viewer: Path | None = None  # the page on which the photo can be poked
    motion: Path | None = None  # the sampled motion

    def outputs(self) -> list[Path]:
        """All files that will be written, the loop first."""
        written = (self.loop, self.preview, self.motion_picture, self.xt_slice, self.viewer, self.motion)
        return [path for path in written if path]

    def check_row(self, height: int) -> None:
        """Raise ValueError unless frames of so many rows have the one that the X-t slice shows."""
        if self.row is not None and not 0 <= self.row < height:
            raise ValueError(f"--xt-slice {self.row}: {self.loop} has rows 0 to {height - 1}")


def plan_files(photos: Sequence[Path], options: FileOptions) -> list[LoopFiles]:
    """The files of every photo. Headers of the photos are read, so that a wrong file stops before any work is done.

    Raises:
        ValueError: for whatever can't work, in one line.
    """
    from common.image_files import check_image
    from data.media.write_video import check_output_suffix

    planned = []
    for photo in photos:
        loop = loop_path(photo, options.output, several=len(photos) > 1)
        check_output_suffix(loop)
        check_image(photo)
        files = LoopFiles(
            photo,
            loop,
            preview=loop.with_name(f"{loop.stem}_preview.{options.preview}") if options.preview else None,
            motion_picture=loop.with_name(f"{loop.stem}_motion.png") if options.show_motion else None,
            xt_slice=loop.with_name(f"{loop.stem}_xt.png") if options.xt_slice is not None else None,
            row=options.xt_slice,
            viewer=options.viewer,
            motion=options.save_motion,
        )
        planned.append(files)
    return planned


def loop_path(photo: Path, output: str | None, *, several: bool) -> Path:
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


class FrameRecorder:
    """Sees every frame once on its way to the loop's file and keeps what the files beside it need of it."""

    def __init__(self, files: LoopFiles, size: tuple[int, int], *, num_frames: int, fps: float) -> None:
        """For so many frames of a size (W, H)."""
        self.files = files
        self.rows: list[np.ndarray] = []
        self.preview: list[np.ndarray] = []
        # Evenly spaced over the loop, so that the preview's seam is a step like its others.
        count = min(num_frames, max(2, round(num_frames * PREVIEW_FPS / fps)))
        self.preview_fps = fps * count / num_frames
        self._chosen = {index * num_frames // count for index in range(count)} if files.preview else set()
        scale = min(1.0, PREVIEW_SIDE / max(size))
        self._preview_size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

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
