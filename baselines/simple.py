"""Methods without training, and the model itself: each is made once for a table and called photo by photo."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.images import to_8_bits
from evaluation.metrics.motion import gradient_magnitude
from evaluation.prediction import OWN_WIND, Predict, Prediction, Setting
from evaluation.sequences import EvaluationSequence, load_sequences
from models.dynamics.loop import LoopMotion, Playback
from models.photos import Photo
from models.spectral_volume import LEAST_STRENGTH, motion_strength, resize_motion, rms_amplitude

MOST_OTHER_STARTS = 4  # of a video's other sequences that a ceiling is the mean over
JELLY_FREQUENCIES = (1, 2, 3)  # periods in a sequence: where most of the power of swaying is


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
        told = {} if setting.wind is None else {"wind": wind_of(setting, sequence)}
        volumes = [
            predict_motion(Photo(image), seed=setting.seed + number, **told, **sampling)
            for number in range(setting.samples)
        ]
        period = config.num_frames / config.fps
        playback = Playback.of_loop(
            sequence.num_frames, fps=sequence.fps, period=period, num_frequencies=config.num_frequencies
        )
        resized = (resize_motion(volume, (image.shape[2], image.shape[3]), "bicubic") for volume in volumes)
        return Prediction(
            tuple(resized), lambda number, count: setting.render(sequence, LoopMotion(volumes[number], playback), count)
        )

    return predict


def wind_of(setting: Setting, sequence: EvaluationSequence) -> str | float | None:
    """The wind that the model is told for a sequence; for `OWN_WIND` that of the measured motion.

    Strengths are in pixels of the picture that the model sees, which has about the area that it was trained at.
    """
    if setting.wind != OWN_WIND:
        return setting.wind
    width, height = setting.pipeline.motion_config.size
    scale = math.sqrt(width * height / (sequence.size[0] * sequence.size[1]))
    strength = scale * float(motion_strength(setting.true_volume(sequence)))
    return max(strength, LEAST_STRENGTH) / setting.pipeline.usual_wind


def repeat(setting: Setting) -> Predict:
    """The photo, unmoved."""

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        photo = to_8_bits(sequence.first_frame())
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


def gradient(setting: Setting, *, blur: float = 0.0) -> Predict:
    """A map of where things might move: the photo's gradient magnitude, Gaussian-blurred by so many pixels.

    What a network has to beat.
    """
    return lambda _, sequence: Prediction((gradient_magnitude(sequence.first_frame(), blur),), note=MAP_NOTE)


def other_start(setting: Setting) -> Predict:
    """The motion measured from other start frames of the same video: how far measuring itself agrees.

    The ceiling for a model, which knows no more of the moment. A table's figure is the mean over the other starts,
    which need not be in the table themselves.
    """
    splits: dict[tuple[Path, str], list[EvaluationSequence]] = {}

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        place = sequence.folder, sequence.row["split"]
        if place not in splits:
            splits[place] = load_sequences(*place)
        others = [s for s in splits[place] if s.source == sequence.source and s.id != sequence.id]
        if not others:
            return Prediction(note="not computed: the split has one sequence of each video")
        chosen = others[:: math.ceil(len(others) / MOST_OTHER_STARTS)]
        return Prediction(tuple(map(setting.true_volume, chosen)), note=MAP_NOTE)

    return predict


MAP_NOTE = "not computed: this row is a map of where things move, without a video"
