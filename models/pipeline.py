"""ImageDynamicsPipeline: photo -> spectral volume -> frames of a seamless loop.

The only module that knows both models. Motion is sampled at about the size that the motion model was trained at; the
frames are rendered at any size, a few at a time, from motion that is enlarged frame by frame: the enlarged volume,
gigabytes at 4K, never exists.

Enlarging is bicubic and does not look at the photo. A colour guided filter, its slopes as a correction to bicubic, and
joint bilateral upsampling were tried on the looping clips, judged by the measured motion and by the clips' own frames
at full size. Each lost to bicubic in nearly every scene, because the photo's texture leaks into the motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from models.checkpoints import PARTS, PRETRAINED, find_checkpoints
from models.choices import DEFAULT_RENDERER, FPS, NUM_FRAMES, WINDS
from models.dynamics.motion_file import MotionFile, as_stored
from models.dynamics.photo import Displacement, PhotoMotion
from models.dynamics.seam import begin_where_slow
from models.photos import Photo, as_photo, model_size, resize_photo
from models.rendering.frames import Timer, render_frames
from models.rendering.large import DEFAULT_SIZES, RenderSizes
from models.spectral_volume import anchor_to_first_frame

if TYPE_CHECKING:
    from models.dynamics.pokes import Poke
    from models.dynamics.regions import Regions
    from models.motion.model import MotionConfig, MotionModel
    from models.photos import PhotoLike
    from models.rendering.model import FrameSynthesisModel


@dataclass(frozen=True)
class Animation:
    """What the pipeline makes of one photo."""

    photo: Photo
    motion: MotionFile  # as sampled, before it is magnified; `motion.write(path)` keeps it
    moving: PhotoMotion  # how the photo moves in these frames
    frames: Iterator[np.ndarray]  # uint8 [H, W, 3] one after the other, rendered as they are asked for, once
    num_frames: int
    fps: float


class ImageDynamicsPipeline:
    """Photo -> motion -> frames, from a folder with the checkpoints ``motion`` and ``frame_synthesis``."""

    def __init__(
        self,
        motion_model: MotionModel | None = None,
        frame_synthesis: FrameSynthesisModel | None = None,
        *,
        sizes: RenderSizes = DEFAULT_SIZES,
    ) -> None:
        """Either model may be missing where only the other's step is used; ``sizes`` are those of rendering."""
        self.sizes = sizes
        self.motion_model = motion_model
        self.frame_synthesis = frame_synthesis
        self.device = torch.device("cpu")

    @classmethod
    def from_pretrained(cls, path: str | Path = PRETRAINED, parts: Sequence[str] = PARTS) -> ImageDynamicsPipeline:
        """Load from a folder or from the Hugging Face hub.

        Args:
            path: a folder that :meth:`save_pretrained` wrote, a checkpoint folder of one of the models (the other one
                is then the default that comes with the repository), or a hub id such as ``owner/name``.
            parts: which of :data:`models.checkpoints.PARTS` to load.
        """
        found = find_checkpoints(path)
        pipeline = cls()
        if "motion" in parts:
            from models.motion.model import MotionModel

            motion = found["motion"]
            pipeline.motion_model = MotionModel.from_pretrained(motion.folder, motion.config)
        if "frame_synthesis" in parts:
            from models.rendering.model import FrameSynthesisModel

            renderer = found["frame_synthesis"]
            pipeline.frame_synthesis = FrameSynthesisModel.from_pretrained(renderer.folder, renderer.config)
        return pipeline

    def save_pretrained(self, path: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write both checkpoints; ``dtype`` says how weights are stored, None as they are."""
        if self.motion_model is None or self.frame_synthesis is None:
            raise ValueError("this pipeline was loaded without one of its models; only a whole one can be saved")
        self.motion_model.save_pretrained(Path(path) / "motion", dtype=dtype)
        self.frame_synthesis.save_pretrained(Path(path) / "frame_synthesis", dtype=dtype)

    def push_to_hub(self, hub_id: str, **options: Any) -> str:
        """Publish both checkpoints on the Hugging Face hub; options and errors as of :func:`models.hub.push_to_hub`."""
        from models.hub import push_to_hub

        return push_to_hub(self, hub_id, **options)

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

    @property
    def usual_wind(self) -> float:
        """How far things move where no wind is given, in pixels of the size that the motion model sees.

        Raises:
            ValueError: the motion model was trained without wind.
        """
        model = self._motion()
        if not model.config.wind:
            raise ValueError("this motion model was trained without wind; magnify its motion instead")
        return float(model.usual_strength)

    @overload
    def __call__(self, photo: list | tuple, **options: Any) -> list[Animation]: ...
    @overload
    def __call__(self, photo: PhotoLike, **options: Any) -> Animation: ...
    def __call__(self, photo: Any, **options: Any) -> Animation | list[Animation]:
        """Animate a photo, or each of a list of photos; forms as for :func:`models.photos.as_photo`, options as for
        :meth:`animate`.
        """
        if isinstance(photo, list | tuple):
            return [self.animate(one, **options) for one in photo]
        return self.animate(photo, **options)

    def animate(
        self,
        photo: PhotoLike,
        *,
        motion: MotionFile | str | Path | None = None,
        pokes: Sequence[Poke] = (),
        regions: Regions | None = None,
        num_frames: int | None = NUM_FRAMES,
        fps: float = FPS,
        slow: float = 1.0,
        magnify: float = 1.0,
        size: tuple[int, int] | None = None,
        renderer: str = DEFAULT_RENDERER,
        timer: Timer = nullcontext,
        **sampling: Any,
    ) -> Animation:
        """Sample the motion of a photo at once, and render it as the frames are asked for.

        Args:
            photo: in any form that :func:`models.photos.as_photo` takes.
            motion: render this motion, or that of a motion file, instead of sampling one.
            pokes: no loop, but the photo pulled and let go.
            regions: where the photo may move, everywhere by default.
            num_frames: frames before the motion is slowed down; None with pokes: until all is at rest.
            fps: frames a second.
            slow: that many times as many frames of the same motion.
            magnify: factor on the displacement.
            size: (W, H) of the frames, the photo's own by default.
            renderer: one of :data:`models.choices.RENDERERS`.
            timer: times the steps ``upsample`` and ``render``.
            sampling: seed, steps and whatever else :meth:`predict_motion` takes.
        """
        photo = as_photo(photo)
        if motion is None:
            motion = self._as_motion(self.predict_motion(photo, **sampling), photo)
        else:
            motion = motion if isinstance(motion, MotionFile) else MotionFile.read(motion)
            motion.check_shape(photo.size)
        moving = PhotoMotion.of(
            motion,
            photo_size=photo.size,
            num_frames=num_frames,
            fps=fps,
            slow=slow,
            magnify=magnify,
            pokes=pokes,
            regions=regions,
        )
        frames = self.render_motion(photo, moving.displacement, size=size, renderer=renderer, timer=timer)
        return Animation(photo, motion, moving, frames, len(moving.displacement.times), fps)

    @torch.no_grad()
    def predict_motion(
        self,
        photo: PhotoLike,
        *,
        seed: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        loop_guidance: float = 0.0,
        recurrence: int = 0,
        wind: str | float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Sample motion for a photo: a spectral volume ``[1, K, 4, h, w]`` in pixels of its own h x w.

        The photo is looked at in its own aspect ratio and about the area that the model was trained at. The volume is
        begun at a frame of its loop that an ordinary step leads to (:func:`models.dynamics.seam.begin_where_slow`),
        anchored (frame 0 does not move), and holds values of float16, as a motion file does.

        Args:
            photo: in any form that :func:`models.photos.as_photo` takes.
            seed: another number, another motion.
            steps: sampling steps, the model's own number by default.
            sampler: one of :data:`models.choices.SAMPLERS`, the model's own by default.
            guidance: strength of classifier-free guidance, the model's own by default.
            loop_guidance: strength of the guidance to a smooth wrap-around.
            recurrence: times that each step is repeated, of use with loop guidance.
            wind: one of :data:`models.choices.WINDS`, or a factor on the usual wind; only a model that was trained with
                wind takes it.
            progress: called with the steps done and all steps.
        """
        model, photo = self._motion(), as_photo(photo)
        width, height = model_size(photo.size, model.config.size, model.size_multiple)
        small = resize_photo(photo.image, (height, width)).to(self.device)
        volume = model.sample(
            small,
            [seed],
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            loop_guidance=loop_guidance,
            recurrence=recurrence,
            wind=None if wind is None else wind_factor(wind) * self.usual_wind,
            progress=progress,
        )
        if not volume.isfinite().all():
            raise FloatingPointError("the motion model produced values that are not finite; is its checkpoint sound?")
        volume = begin_where_slow(volume, model.config.num_frames)
        return as_stored(anchor_to_first_frame(volume, model.config.num_frames).cpu())

    def render(self, photo: PhotoLike, volume: Tensor, **playing: Any) -> Iterator[np.ndarray]:
        """Frames, uint8 ``[H, W, 3]``, of a volume ``[1, K, 4, h, w]`` in pixels with the motion model's period.

        The options are those of :meth:`animate`.
        """
        photo = as_photo(photo)
        return self.animate(photo, motion=self._as_motion(volume, photo), **playing).frames

    def render_motion(
        self,
        photo: PhotoLike,
        motion: Displacement,
        *,
        size: tuple[int, int] | None = None,
        renderer: str = DEFAULT_RENDERER,
        timer: Timer = nullcontext,
    ) -> Iterator[np.ndarray]:
        """Frames at the motion's times, uint8 ``[H, W, 3]``; a loop's frame 0 shows the photo unmoved.

        A size (W, H) of another aspect ratio shows the centre of the photo; the motion is that of the whole one.
        The other arguments are those of :meth:`animate`.
        """
        photo = as_photo(photo)
        return render_frames(
            photo.image,
            motion,
            size=size or photo.size,
            renderer=renderer,
            model=self.frame_synthesis,
            device=self.device,
            timer=timer,
            sizes=self.sizes,
        )

    def _as_motion(self, volume: Tensor, photo: Photo) -> MotionFile:
        """A volume ``[1, K, 4, h, w]`` of this photo with the motion model's period."""
        config = self.motion_config
        return MotionFile(volume[0], config.num_frames, config.fps, photo.size, photo.sha256)

    def _motion(self) -> MotionModel:
        if self.motion_model is None:
            raise ValueError("this pipeline was loaded without its motion model")
        return self.motion_model


def wind_factor(wind: str | float) -> float:
    """A wind's name or number as a factor on the usual wind.

    Raises:
        ValueError: another name, or no number above 0.
    """
    if isinstance(wind, str):
        if wind not in WINDS:
            raise ValueError(f"unknown wind {wind!r}, expected one of {', '.join(WINDS)} or a number")
        return WINDS[wind]
    if not (math.isfinite(wind) and wind > 0):
        raise ValueError(f"wind {wind:g}: a factor on the usual wind, such as 0.5, is above 0")
    return float(wind)
