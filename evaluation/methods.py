"""What is compared in the motion table: each method's motion, and its video, of one photo.

A method is made once for all sequences of a table and called for one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.sequences import EvaluationSequence, as_bytes, crop_size
from models.loop_motion import LoopMotion, Playback
from models.metrics import gradient_magnitude
from models.pipeline import ImageDynamicsPipeline
from models.spectral_volume import resize_motion, rms_amplitude

JELLY_FREQUENCIES = (1, 2, 3)  # periods in a sequence: where most of the power of swaying is


@dataclass(frozen=True)
class Prediction:
    """What a method says of one photo."""

    motion: tuple[Tensor, ...] = ()  # volumes [1, K, 4, H, W] in pixels, one a sample; or one map [1, 1, H, W]
    render: Callable[[int, int], Tensor] | None = None  # (sample, number of frames) -> uint8 [N, 3, H, W]
    note: str | None = None  # why there is no motion, or no video


@dataclass(frozen=True)
class Setting:
    """What all methods of one table share."""

    sequences: Sequence[EvaluationSequence]
    pipeline: ImageDynamicsPipeline
    parts: tuple[str, ...] = ()  # of the pipeline that were loaded, those that the methods need
    num_frequencies: int = 16  # of the measured motion
    renderer: str = "model"
    samples: int = 1
    steps: int = 20
    guidance: float | None = None  # the model's own by default
    seed: int = 0
    sampler: str = "dpmsolver++"
    loop_guidance: float = 0.0
    recurrence: int = 0  # extra passes of each step under loop guidance

    def used_guidance(self) -> float:
        """The weight of classifier-free guidance that samples are taken with."""
        return self.pipeline.motion_config.guidance if self.guidance is None else self.guidance

    def generator(self, *numbers: int) -> torch.Generator:
        """Randomness that depends on the seed and these numbers alone."""
        seed = self.seed
        for number in numbers:
            seed = seed * 1_000_003 + number
        return torch.Generator().manual_seed(seed % (1 << 62))

    def true_volume(self, sequence: EvaluationSequence) -> Tensor:
        """The measured motion, ``[1, K, 4, H, W]``, K as far as the sequence's length allows."""
        return sequence.volume(min(self.num_frequencies, sequence.num_frames // 2 + 1))

    def render(self, sequence: EvaluationSequence, motion: LoopMotion, count: int) -> Tensor:
        """The first ``count`` frames of the photo under this motion, uint8 ``[N, 3, H, W]``."""
        playback = replace(motion.playback, times=motion.playback.times[:count])
        motion = LoopMotion(motion.volume, playback, motion.anchored)
        frames = self.pipeline.render_motion(sequence.first_frame(), motion, renderer=self.renderer)
        return torch.stack([torch.from_numpy(frame) for frame in frames]).permute(0, 3, 1, 2).contiguous()

    def of_volume(self, sequence: EvaluationSequence, volume: Tensor, anchored: bool = True) -> Prediction:
        """Prediction of a motion that is as long as the sequence."""
        period = float(sequence.num_frames)
        playback = Playback(tuple(map(float, range(sequence.num_frames))), period, volume.shape[1])
        return Prediction(
            (volume,), lambda _, count: self.render(sequence, LoopMotion(volume, playback, anchored), count)
        )


Predict = Callable[[int, EvaluationSequence], Prediction]  # (index of the sequence, the sequence) -> prediction


def model(setting: Setting) -> Predict:
    """Samples of the motion model; seeds are the same for every photo."""
    config = setting.pipeline.motion_config
    options = ("steps", "sampler", "guidance", "loop_guidance", "recurrence")
    sampling: dict[str, Any] = {name: getattr(setting, name) for name in options}
    if not setting.recurrence:
        del sampling["recurrence"]
    predict_motion: Callable[..., Tensor] = setting.pipeline.predict_motion

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        image = sequence.first_frame()
        volumes = [predict_motion(image, setting.seed + number, **sampling) for number in range(setting.samples)]
        period = config.num_frames / config.fps
        playback = Playback.of_loop(sequence.num_frames, sequence.fps, 1.0, period, config.num_frequencies)
        resized = (resize_motion(volume, (image.shape[2], image.shape[3]), "bicubic") for volume in volumes)
        return Prediction(
            tuple(resized), lambda number, count: setting.render(sequence, LoopMotion(volumes[number], playback), count)
        )

    return predict


def repeat(setting: Setting) -> Predict:
    """The photo, unmoved."""

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        photo = as_bytes(sequence.first_frame())
        still = torch.zeros_like(setting.true_volume(sequence))
        return Prediction((still,), lambda _, count: photo.expand(count, -1, -1, -1))

    return predict


def true_motion(setting: Setting) -> Predict:
    """The measured motion, rendered: the best that a motion model could reach with this renderer."""
    return lambda _, sequence: setting.of_volume(sequence, setting.true_volume(sequence), anchored=False)


def shuffled(setting: Setting) -> Predict:
    """The measured motion of another video: real motion in the wrong places."""

    def predict(index: int, sequence: EvaluationSequence) -> Prediction:
        others = [other for other in setting.sequences if other.source != sequence.source]
        if not others:
            return Prediction(note="not computed: all sequences come from one video")
        choice = torch.randint(len(others), (), generator=setting.generator(1, index))
        volume = setting.true_volume(others[int(choice)])[:, : sequence.num_frames // 2 + 1]
        width, height = sequence.size
        return setting.of_volume(sequence, resize_motion(volume, (height, width)))

    return predict


def jelly(setting: Setting) -> Predict:
    """One sinusoid for all pixels: random direction, phase and slow frequency, the split's mean amplitude."""
    amplitudes = [float(rms_amplitude(setting.true_volume(sequence))) for sequence in setting.sequences]
    amplitude = sum(amplitudes) / len(amplitudes)

    def predict(index: int, sequence: EvaluationSequence) -> Prediction:
        random = torch.rand(3, generator=setting.generator(2, index), dtype=torch.float64)
        volume = torch.zeros_like(setting.true_volume(sequence))
        frequencies = [k for k in JELLY_FREQUENCIES if k < volume.shape[1]]
        if not frequencies:
            return Prediction(note="not computed: the motion has a single frequency")
        frequency = frequencies[int(random[0] * len(frequencies))]
        direction, phase = 2 * math.pi * random[1], 2 * math.pi * random[2]
        # A coefficient of half the sinusoid's height; its root mean square is the height over sqrt(2).
        size = amplitude / math.sqrt(2)
        for channel, component in enumerate((direction.cos(), direction.sin())):
            volume[:, frequency, channel] = size * component * phase.cos()
            volume[:, frequency, channel + 2] = size * component * phase.sin()
        return setting.of_volume(sequence, volume)

    return predict


def gradient(blur: float, setting: Setting) -> Predict:
    """No motion, only where it would be: the photo's gradient magnitude, blurred; what a network has to beat."""
    return lambda _, sequence: Prediction((gradient_magnitude(sequence.first_frame(), blur),), note=MAP_NOTE)


def other_start(setting: Setting) -> Predict:
    """The motion measured from another start frame of the same video: how far measuring itself agrees."""

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        others = [s for s in setting.sequences if s.source == sequence.source and s.id != sequence.id]
        if not others:
            return Prediction(note="not computed: the split has one sequence of each video")
        return Prediction((setting.true_volume(others[-1]),), note=MAP_NOTE)

    return predict


MAP_NOTE = "not computed: this row is a map of where things move, without a video"

METHODS: dict[str, Callable[[Setting], Predict]] = {
    "model": model,
    "repeat": repeat,
    "true-motion": true_motion,
    "shuffled": shuffled,
    "jelly": jelly,
    "gradient": partial(gradient, 0.0),
    "gradient-8": partial(gradient, 8.0),
    "gradient-16": partial(gradient, 16.0),
    "other-start": other_start,
}
RENDERED = ("model", "true-motion", "shuffled", "jelly")  # those whose video the renderer makes
DEFAULT_METHODS = ("model", "repeat", "true-motion", "shuffled", "jelly")


def videos(folder: Path, setting: Setting) -> Predict:
    """Videos that another program made of the same photos: one a sequence, ``<sequence id>.mp4`` or another format.

    They have the dataset's size, or that of its crop, which videos are compared at. Motion is measured in those of the
    dataset's size and length, with the flow estimator that measured the real one.
    """
    files = video_files(folder, setting.sequences)
    for sequence in setting.sequences:
        read_frames(files[sequence.id], sequence, 2)  # now: a file that won't do costs no hour of rendering

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        frames = read_frames(files[sequence.id], sequence, sequence.num_frames)
        if frames.shape[-2:] != sequence.size[::-1] or len(frames) != sequence.num_frames:
            return Prediction((), lambda _, count: frames[:count], CROPPED_NOTE)
        return Prediction((measure_motion(frames, sequence, setting.num_frequencies),), lambda _, count: frames[:count])

    return predict


CROPPED_NOTE = "not computed: motion is measured in videos of the dataset's own size and length"


def video_files(folder: Path, sequences: Sequence[EvaluationSequence]) -> dict[str, Path]:
    """File of each sequence's video by id."""
    from data.video import VIDEO_SUFFIXES

    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of videos")
    there = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES}
    missing = [sequence.id for sequence in sequences if sequence.id not in there]
    if missing:
        more = f" nor of {len(missing) - 1} more sequences" if len(missing) > 1 else ""
        raise ValueError(f"{folder}: no video of sequence {missing[0]}{more}; name each <sequence id>.mp4")
    return there


def read_frames(path: Path, sequence: EvaluationSequence, max_frames: int) -> Tensor:
    """The first frames of a video: uint8 ``[N, 3, H, W]``, of the sequence's size or of its crop's.

    Raises:
        ValueError: no video, one of another size, or of a single frame.
    """
    from data.video import read_video

    frames, _ = read_video(path, max_frames=max_frames)
    height, width = frames.shape[1:3]
    sizes = dict.fromkeys((sequence.size, crop_size(sequence.size)))
    if (width, height) not in sizes:
        wanted = " or ".join(f"{w}x{h}" for w, h in sizes)
        raise ValueError(f"{path}: {width}x{height} pixels, the other methods' videos are {wanted}; resize it")
    if len(frames) < 2:
        raise ValueError(f"{path}: a single frame; give a video")
    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()


def measure_motion(frames: Tensor, sequence: EvaluationSequence, num_frequencies: int) -> Tensor:
    """Spectral volume ``[1, K, 4, H, W]`` of a video, uint8 ``[T, 3, H, W]``, measured as the dataset's were."""
    from data.optical_flow import estimate_flow
    from models.spectral_volume import motion_to_spectral_volume

    pictures = frames.permute(0, 2, 3, 1).contiguous().numpy()
    flow = torch.from_numpy(estimate_flow(pictures[0], pictures[1:], estimator=sequence.row["estimator"]))
    motion = torch.cat([torch.zeros_like(flow[:1]), flow]).permute(0, 3, 1, 2)[None]
    return motion_to_spectral_volume(motion, min(num_frequencies, sequence.num_frames // 2 + 1))
