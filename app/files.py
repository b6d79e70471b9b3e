"""The files that are made of a photo: their names, their checks, and the pictures that are kept on the way to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.options import FileOptions

if TYPE_CHECKING:
    import numpy as np

PREVIEW_SIDE, PREVIEW_FPS = 360, 15  # small enough for a web page
PREVIEWS = ("webp", "gif", "png")  # formats of a preview
# What is beside the loop has its name and these ends; those of a preview and of a sheet have a suffix as well.
MOTION_END, XT_END, PREVIEW_END, SHEET_END = "_motion.png", "_xt.png", "_preview", "_variations"
PICTURE_ENDS = (MOTION_END, XT_END, *(f"{end}.{suffix}" for end in (PREVIEW_END, SHEET_END) for suffix in PREVIEWS))


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
    variations: int = 0  # so many motions and a sheet of them in place of all the others

    def outputs(self) -> list[Path]:
        """All files that will be written, the loop first."""
        if self.variations:
            return [self.sheet, *(self.variation(number) for number in range(1, self.variations + 1))]
        written = (self.loop, self.preview, self.motion_picture, self.xt_slice, self.viewer, self.motion)
        return [path for path in written if path]

    @property
    def sheet(self) -> Path:
        """The video of all variations side by side."""
        return self.loop.with_name(f"{self.loop.stem}{SHEET_END}{self.loop.suffix}")

    def variation(self, number: int) -> Path:
        """The motion of a variation, counted from 1."""
        return self.loop.with_name(f"{self.loop.stem}_{number}.safetensors")

    def are_there(self) -> bool:
        """Whether all files have been written, by an earlier run."""
        return all(path.is_file() for path in self.outputs())

    def check_row(self, height: int) -> None:
        """Raise ValueError unless frames of so many rows have the one that the X-t slice shows."""
        if self.row is not None and not 0 <= self.row < height:
            raise ValueError(f"--xt-slice {self.row}: {self.loop} has rows 0 to {height - 1}")


def plan_files(photos: Sequence[Path], options: FileOptions) -> list[LoopFiles]:
    """The files of every photo; the photos themselves are not looked at yet.

    Raises:
        ValueError: a name that can't be written to, in one line.
    """
    from data.media.write_video import check_output_suffix

    planned = []
    for photo, loop in zip(photos, loop_paths(photos, options.output), strict=True):
        check_output_suffix(loop)
        files = LoopFiles(
            photo,
            loop,
            preview=loop.with_name(f"{loop.stem}{PREVIEW_END}.{options.preview}") if options.preview else None,
            motion_picture=loop.with_name(f"{loop.stem}{MOTION_END}") if options.show_motion else None,
            xt_slice=loop.with_name(f"{loop.stem}{XT_END}") if options.xt_slice is not None else None,
            row=options.xt_slice,
            viewer=options.viewer,
            motion=options.save_motion,
            variations=options.variations or 0,
        )
        planned.append(files)
    return planned


def pictures_of(photo: Path, output: str | None) -> set[Path]:
    """The pictures that runs with some options make of a photo, which are no photos to be animated."""
    path = Path("outputs" if output is None else output)
    folder, single = (path, None) if _is_folder(path, output) else (path.parent, path)
    stems = {photo.stem, f"{photo.stem}_{photo.suffix[1:]}"} if single is None else {single.stem}
    named = {folder / f"{stem}{end}" for stem in stems for end in PICTURE_ENDS}
    return named if single is None else named | {single}


def _is_folder(path: Path, output: str | None) -> bool:
    return output is None or path.is_dir() or output.endswith(("/", "\\")) or not path.suffix


def loop_paths(photos: Sequence[Path], output: str | None) -> list[Path]:
    """Where the loops of photos go: OUT itself, or ``<photo>.mp4`` in the folder that it names.

    Photos of one name get the names of more of their path: ``rose_jpg.mp4`` and ``rose_png.mp4`` beside each other,
    ``monday_rose.mp4`` and ``tuesday_rose.mp4`` from two folders.
    """
    path = Path("outputs" if output is None else output)
    if _is_folder(path, output):
        return [path / f"{name}.mp4" for name in _distinct_stems(photos)]
    if len(photos) > 1:
        raise ValueError(f"--output {output}: several photos need a folder to go to")
    return [path]


def _distinct_stems(photos: Sequence[Path]) -> list[str]:
    """A name for each photo: its stem where no other one has it, else more of its path, and at last a number."""
    forms: tuple[Callable[[Path], str], ...] = (
        lambda photo: photo.stem,
        lambda photo: f"{photo.stem}_{photo.suffix[1:]}",
        lambda photo: f"{photo.absolute().parent.name}_{photo.stem}",
        lambda photo: f"{photo.absolute().parent.name}_{photo.stem}_{photo.suffix[1:]}",
    )
    names: dict[Path, str] = {}
    meeting: dict[str, list[Path]] = {}
    for photo in photos:
        meeting.setdefault(photo.stem.casefold(), []).append(photo)  # as some file systems see names
    for same in meeting.values():
        for form in forms:
            if len({form(photo).casefold() for photo in same}) == len(same):
                names |= {photo: form(photo) for photo in same}
                break
        else:
            names |= {photo: f"{photo.stem}_{number}" for number, photo in enumerate(same, 1)}
    taken: set[str] = set()
    for photo in photos:  # a longer name may be the stem of another photo
        name, number = names[photo], 1
        while names[photo].casefold() in taken:
            names[photo], number = f"{name}_{number}", number + 1
        taken.add(names[photo].casefold())
    return [names[photo] for photo in photos]


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
            write_video(self.files.preview, self.preview, self.preview_fps, loop_frames=len(self.preview))
        if self.files.xt_slice:
            write_image(self.files.xt_slice, np.stack(self.rows))
