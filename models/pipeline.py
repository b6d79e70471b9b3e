"""ImageDynamicsPipeline: photo -> spectral volume -> frames of a seamless loop.

The only module that knows both models. Motion is sampled at about the size that the motion model was trained at; the
frames are rendered at any size, a few at a time, from motion that is enlarged frame by frame: the enlarged volume,
gigabytes at 4K, never exists.

Enlarging is bicubic and does not look at the photo. A colour guided filter, its slopes as a correction to bicubic, and
joint bilateral upsampling were tried on the looping clips, judged by the measured motion and by the clips' own frames
at full size. Each lost to bicubic in nearly every scene, because the photo's texture leaks into the motion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.images import to_uint8
from models.dynamics.loop import LoopMotion, Playback
from models.dynamics.motion_file import as_stored
from models.motion.model import DEFAULT_STEPS
from models.rendering.large import LARGEST_WHOLE, LargeRenderer, Tile, cut, make_tiles, render_in_tiles
from models.spectral_volume import anchor_to_first_frame, resize_motion

if TYPE_CHECKING:
    from models.motion.model import MotionConfig, MotionModel
    from models.rendering.model import FrameSynthesisModel

PRETRAINED = Path(__file__).parent / "pretrained"
PARTS = ("motion", "frame_synthesis")  # kinds of checkpoints, and the names of their folders
PIXELS_A_BATCH = 150_000  # rendered at once on a CPU: what larger batches make no longer fits in its caches
PIXELS_A_BATCH_ELSEWHERE = 1_600_000
TILE_MARGIN = 8  # pixels around a tile beyond the motion's reach, for what interpolation looks at


class PhotoMotion(Protocol):
    """What is rendered: motion of a photo, at a resolution of its own and a few moments at a time."""

    @property
    def times(self) -> Sequence[float]:
        """The moments of the frames, as :meth:`at` takes them."""

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the motion."""

    def to(self, device: torch.device) -> PhotoMotion:
        """The same motion on a device."""

    def at(self, times: Sequence[float]) -> Tensor:
        """Displacements ``[1, N, 2, h, w]`` in pixels of the motion."""

    def importance(self) -> Tensor:
        """``[1, 1, h, w]``, larger is in front; in pixels of the motion."""

    def largest_displacement(self) -> float:
        """Largest displacement of any pixel at any of the times."""


class ImageDynamicsPipeline:
    """Photo -> motion -> frames, from a folder with the checkpoints ``motion`` and ``frame_synthesis``."""

    def __init__(
        self, motion_model: MotionModel | None = None, frame_synthesis: FrameSynthesisModel | None = None
    ) -> None:
        """Either model may be missing where only the other's step is used."""
        self.motion_model = motion_model
        self.frame_synthesis = frame_synthesis
        self.device = torch.device("cpu")

    @classmethod
    def from_pretrained(cls, path: str | Path = PRETRAINED, parts: Sequence[str] = PARTS) -> ImageDynamicsPipeline:
        """Load from a folder or from the Hugging Face hub.

        Args:
            path: a folder that :meth:`save_pretrained` wrote, a checkpoint folder of one of the models (the other one
                is then the default that comes with the repository), or a hub id such as ``owner/name``.
            parts: which of :data:`PARTS` to load.
        """
        folders = checkpoint_folders(path)
        pipeline = cls()
        if "motion" in parts:
            from models.motion.model import MotionModel

            pipeline.motion_model = MotionModel.from_pretrained(folders["motion"])
        if "frame_synthesis" in parts:
            from models.rendering.model import FrameSynthesisModel

            pipeline.frame_synthesis = FrameSynthesisModel.from_pretrained(folders["frame_synthesis"])
        return pipeline

    def save_pretrained(self, path: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write both checkpoints; ``dtype`` says how weights are stored, None as they are."""
        motion_model, frame_synthesis = self._motion(), self._renderer()
        motion_model.save_pretrained(Path(path) / "motion", dtype=dtype)
        frame_synthesis.save_pretrained(Path(path) / "frame_synthesis", dtype=dtype)

    def to(self, device: torch.device | str) -> ImageDynamicsPipeline:
        """Move the models to a device; photos and volumes follow by themselves."""
        self.device = torch.device(device)
        for model in (self.motion_model, self.frame_synthesis):
            if model is not None:
                model.to(self.device)
        return self

    @property
    def motion_config(self) -> MotionConfig:
        """Configuration of the motion model: period, training size, number of frequencies."""
        return self._motion().config

    @torch.no_grad()
    def predict_motion(
        self,
        image: Tensor,  # [1, 3, H, W] in [-1, 1], any size
        seed: int = 0,
        steps: int = DEFAULT_STEPS,
        sampler: str = "dpmsolver++",  # one of models.motion.model.SAMPLERS
        guidance: float | None = None,  # classifier-free; the model's own by default
        loop_guidance: float = 0.0,
        recurrence: int = 0,  # times that each step is repeated, of use with loop guidance
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Sample motion for a photo: a spectral volume ``[1, K, 4, h, w]`` in pixels of its own h x w.

        The photo is looked at in its own aspect ratio and about the area that the model was trained at. The volume is
        anchored (frame 0 does not move) and holds values of float16, as a motion file does.
        """
        model = self._motion()
        width, height = model_size(_photo_size(image), model.config.size, model.size_multiple)
        small = resize_photo(image, (height, width)).to(self.device)
        volume = model.sample(
            small,
            [seed],
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            loop_guidance=loop_guidance,
            recurrence=recurrence,
            progress=progress,
        )
        if not volume.isfinite().all():
            raise FloatingPointError("the motion model produced values that are not finite; is its checkpoint sound?")
        return as_stored(anchor_to_first_frame(volume, model.config.num_frames).cpu())

    def render(
        self,
        image: Tensor,  # [1, 3, H, W] in [-1, 1], any size
        volume: Tensor,  # [1, K, 4, h, w] in pixels of h x w, of the whole photo
        num_frames: int = 150,
        fps: float = 30.0,
        size: tuple[int, int] | None = None,  # (W, H) of the frames, the photo's own by default
        magnify: float = 1.0,  # factor on the displacement
        slow: float = 1.0,  # that many times as many frames, of the same motion
        renderer: str = "model",  # or one of models.rendering.model.BASELINES
        period: float | None = None,  # seconds of the volume's period, the motion model's by default
    ) -> Iterator[np.ndarray]:
        """Frames of a seamless loop, uint8 ``[H, W, 3]``, one after the other; see :meth:`Playback.of_loop`."""
        if period is None:
            period = self.motion_config.num_frames / self.motion_config.fps
        playback = Playback.of_loop(num_frames, fps, slow, period, volume.shape[1])
        return self.render_motion(image, LoopMotion(volume * magnify, playback), size, renderer)

    @torch.no_grad()
    def render_motion(
        self,
        image: Tensor,  # [1, 3, H, W] in [-1, 1], any size
        motion: PhotoMotion,
        size: tuple[int, int] | None = None,  # (W, H) of the frames, the photo's own by default
        renderer: str = "model",
        timer: Callable[[str], AbstractContextManager] = lambda _: nullcontext(),  # of the steps upsample and render
    ) -> Iterator[np.ndarray]:
        """Frames at the motion's times, uint8 ``[H, W, 3]``; a loop's frame 0 shows the photo unmoved.

        A size of another aspect ratio shows the centre of the photo; the motion is that of the whole one.
        """
        photo_size = _photo_size(image)
        size = size or photo_size
        covering = covering_size(photo_size, size)
        left, top = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
        with timer("upsample"):
            motion = motion.to(self.device)
            shape = (covering[1], covering[0])
            photo = resize_photo(image, shape).to(self.device)
            # Not rescaled as vectors are: the renderer knows importance in pixels of about the training size.
            importance = F.interpolate(motion.importance(), shape, mode="bicubic", antialias=True).clamp_min(0)
        with timer("render"):
            # A quarter more than the motion itself: enlarging overshoots.
            reach = 1.25 * motion.largest_displacement() * max(np.divide(covering, motion.size))
            render_batch = self._frame_renderer(renderer, photo, importance, TILE_MARGIN + int(reach))
        batch = frames_a_batch(covering[1], covering[0], self.device)
        times = motion.times
        for start in range(0, len(times), batch):
            with timer("upsample"):
                flow = resize_motion(motion.at(times[start : start + batch])[0], shape, "bicubic")
            with timer("render"):
                rendered = render_batch(flow)[:, :, top : top + size[1], left : left + size[0]]
                if not rendered.isfinite().all():
                    raise FloatingPointError(f"the renderer {renderer!r} produced frames that are not finite")
                frames = to_uint8(rendered)
            yield from frames

    def _frame_renderer(self, name: str, photo: Tensor, importance: Tensor, margin: int) -> Callable[[Tensor], Tensor]:
        """Flows ``[N, 2, H, W]`` -> frames ``[N, 3, H, W]``; what depends on the photo alone is done once, here.

        ``margin``: pixels around a tile of a large frame that may come into sight in it.
        """
        from models.rendering.model import BASELINES

        height, width = photo.shape[2:]
        if name == "model" and height * width <= LARGEST_WHOLE:
            model = self._renderer()
            pyramid = model.encode(photo)
            return lambda flow: model.render(pyramid, flow, importance)
        tiles = make_tiles(height, width, margin)
        if name == "model":
            return LargeRenderer(self._renderer(), photo, importance, tiles)
        if name not in BASELINES:
            raise ValueError(f"unknown renderer {name!r}, expected model or one of {', '.join(BASELINES)}")

        def of_tile(around: Tile) -> Callable[[Tensor], Tensor]:
            part, front = cut(photo, around), cut(importance, around)
            return lambda flow: BASELINES[name](part, flow, front)

        return render_in_tiles([of_tile(around) for around, _ in tiles], tiles)

    def _motion(self) -> MotionModel:
        if self.motion_model is None:
            raise ValueError("this pipeline was loaded without its motion model")
        return self.motion_model

    def _renderer(self) -> FrameSynthesisModel:
        if self.frame_synthesis is None:
            raise ValueError("this pipeline was loaded without its frame synthesis model")
        return self.frame_synthesis


def checkpoint_folders(path: str | Path) -> dict[str, Path]:
    """Folder of each of :data:`PARTS` under a pipeline folder, a bare checkpoint folder or a hub id."""
    from common.checkpoint import load_config

    folder = Path(path)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        folder = download(str(path))
    if not folder.is_dir():
        raise ValueError(f"{path}: no such checkpoint folder")
    folders = {name: PRETRAINED / name for name in PARTS}
    there = {name: folder / name for name in PARTS if (folder / name).is_dir()}
    if not there:
        there = {bare_kind(folder): folder}
    folders |= there
    for name, found in there.items():
        load_config(found, name)
    return folders


def bare_kind(folder: Path) -> str:
    """The kind of the checkpoint that a folder itself holds."""
    import json

    from common.checkpoint import load_config

    try:
        kind = json.loads((folder / "config.json").read_text()).get("kind")
    except (OSError, ValueError, AttributeError):
        kind = None  # load_config says in its own words what is wrong
    if kind not in PARTS:
        load_config(folder, PARTS[0])
    return kind


def download(hub_id: str) -> Path:
    """Fetch a pipeline from the Hugging Face hub, or take it from the local cache."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors", "*.md"]))
    except Exception as error:  # the hub's errors share no base class across its versions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{hub_id}: no such checkpoint folder, nor available from the hub ({reason})") from None


def model_size(photo_size: tuple[int, int], training_size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(W, H) at which the motion model sees a photo of ``photo_size`` (W, H).

    Both sides are multiples of ``multiple``; the aspect ratio is as close to the photo's, and the area as close to the
    training size's, as that grid allows. Shape counts twice as much as area.
    """
    target_ratio = np.log(photo_size[0] / photo_size[1])
    target_area = np.log(training_size[0] * training_size[1])
    # Within half and twice the trained area; a panorama beyond the grid gets its thinnest shape.
    longest = max(2, int(2 * training_size[0] * training_size[1] / multiple**2))
    sides = np.log(np.arange(1, longest + 1) * multiple)
    width, height = sides[:, None], sides[None]
    cost = 2 * np.abs(width - height - target_ratio) + np.abs(width + height - target_area)
    column, row = np.unravel_index(int(cost.argmin()), cost.shape)
    return (int(column) + 1) * multiple, (int(row) + 1) * multiple


def frames_a_batch(height: int, width: int, device: torch.device) -> int:
    """How many frames of this size are best rendered at once."""
    pixels = PIXELS_A_BATCH if device.type == "cpu" else PIXELS_A_BATCH_ELSEWHERE
    return max(1, pixels // (height * width))


def covering_size(photo_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Size (W, H) at which a photo covers ``size``; ``size`` itself where the aspect ratios agree up to rounding."""
    scale = max(size[0] / photo_size[0], size[1] / photo_size[1])
    width, height = max(size[0], round(photo_size[0] * scale)), max(size[1], round(photo_size[1] * scale))
    return size if width - size[0] <= 2 and height - size[1] <= 2 else (width, height)


def resize_photo(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, 3, H, W]`` in [-1, 1] -> ``[B, 3, *size]``, antialiased."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


def _photo_size(image: Tensor) -> tuple[int, int]:
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(f"expected one photo [1, 3, H, W], got shape {tuple(image.shape)}")
    return image.shape[3], image.shape[2]
