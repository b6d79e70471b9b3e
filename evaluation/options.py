"""What each table is asked for; evaluate.py fills these from its command line. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.groups import Grouping

PRETRAINED = Path(__file__).resolve().parents[1] / "models" / "pretrained"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What all tables share.

    Attributes:
        data: dataset folder written by data.prepare.
        split: "train", "validation" or "test".
        checkpoint: a pipeline's folder, one of its models', or a hub id.
        weights: folder with the metrics' weights, searched before the user's cache.
        max_sequences: at most so many sequences of each source video; None for all.
        groups: what the sequences are grouped by for further figures.
        device: as --device names it.
        seed: of everything random.
    """

    data: Path
    split: str = "test"
    checkpoint: str | Path = PRETRAINED
    weights: Path | None = None
    max_sequences: int | None = None
    groups: tuple[Grouping, ...] = ()
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class RenderingOptions(DataOptions):
    """The rendering table.

    Attributes:
        rows: names of its rows; None for all.
        frames: "all" of a sequence, or the sample that is "stored".
        output: folder for CSV and videos.
        html: the page.
    """

    rows: tuple[str, ...] | None = None
    frames: str = "all"
    output: Path | None = None
    html: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(DataOptions):
    """How the motion model is sampled, which is what the sampling table varies.

    Attributes:
        samplers: (sampler, number of steps), a row each, in the sampling table.
        loop_guidance: strengths of loop guidance, each in rows of its own.
        recurrence: extra passes of each step under loop guidance, each in rows of their own.
        metrics: names of the columns; None for all.
        samples: of each photo.
        guidance: classifier-free guidance; None for the model's own.
        num_frequencies: of the measured motion.
        intervals: compute the intervals of distances between sets.
        output: folder for CSV and the plot.
        html: the page.
    """

    samplers: tuple[tuple[str, int], ...]
    loop_guidance: tuple[float, ...] = (0.0,)
    recurrence: tuple[int, ...] = (0,)
    metrics: tuple[str, ...] | None = None
    samples: int = 2
    guidance: float | None = None
    num_frequencies: int = 16
    intervals: bool = True
    output: Path | None = None
    html: Path | None = None


@dataclass(frozen=True, kw_only=True)
class MotionOptions(DataOptions):
    """The motion table.

    Attributes:
        methods: names of its rows, of :data:`baselines.registry.METHODS`.
        method_checkpoints: (method, folder) of each learned baseline.
        videos: (row, folder) of videos made elsewhere.
        metrics: names of the columns; None for all.
        samples: of each photo, for motion and diversity.
        steps: of sampling; None for the model's own.
        guidance: classifier-free guidance; None for the model's own.
        wind: for models that are told it; "own" is that of the measured motion.
        num_frequencies: of the measured motion.
        renderer: what turns motion into frames.
        intervals: compute the intervals of distances between sets.
        skip_photo: leave the photo, frame 0 of real and generated videos alike, out of the metrics of videos.
        output: folder for CSV, plots and videos.
        html: the page.
    """

    methods: tuple[str, ...]
    method_checkpoints: tuple[tuple[str, Path], ...] = ()
    videos: tuple[tuple[str, Path], ...] = ()
    metrics: tuple[str, ...] | None = None
    samples: int = 5
    steps: int | None = None
    guidance: float | None = None
    wind: str | float | None = None
    num_frequencies: int = 16
    renderer: str = "model"
    intervals: bool = True
    skip_photo: bool = False
    output: Path | None = None
    html: Path | None = None


@dataclass(frozen=True, kw_only=True)
class StillnessOptions:
    """The stillness table.

    Attributes:
        photos: folder of photos.
        maps: folder of their maps, as ``python -m data.synthetic.maps`` makes them.
        still_photos: patterns of the names of photos in which nothing should move.
        checkpoint: a pipeline's folder, one of its models', or a hub id.
        samples: of each photo.
        steps: of sampling; None for the model's own.
        guidance: classifier-free guidance; None for the model's own.
        device: as --device names it.
        seed: of the first sample.
        output: folder for the values of each photo and a sheet to look at.
    """

    photos: Path
    maps: Path | None = None
    still_photos: tuple[str, ...] = ()
    checkpoint: str | Path = PRETRAINED
    samples: int = 2
    steps: int | None = None
    guidance: float | None = None
    device: str = "auto"
    seed: int = 0
    output: Path | None = None


@dataclass(frozen=True, kw_only=True)
class AblationOptions(DataOptions):
    """The ablation.

    Attributes:
        output: folder of the rows' runs.
        preset: network and training.
        max_steps: of each training stage, in place of the preset's.
        rows: names of the rows to train and score; None for all.
        given: (row, checkpoint folder) that are scored in place of training.
        metrics, samples, steps, guidance, num_frequencies, renderer, intervals: as for :class:`MotionOptions`.
    """

    output: Path
    preset: str = "default"
    max_steps: int | None = None
    rows: tuple[str, ...] | None = None
    given: tuple[tuple[str, Path], ...] = ()
    metrics: tuple[str, ...] | None = None
    samples: int = 5
    steps: int | None = None
    guidance: float | None = None
    num_frequencies: int = 16
    renderer: str = "model"
    intervals: bool = True


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """The tables of the paper, from clips to figures.

    Attributes:
        clips: folder of looping clips, or several clips.
        output: folder of everything that is made.
        real: folder of film, which nothing is trained on.
        tables: names of the tables to make.
        methods: rows of the motion table; None for all.
        variants: rows of the ablation; None for all.
        folds: parts that the scenes are dealt to; each is tested by networks trained on the others.
        only_folds: how many of them are gone through now; None for all.
        budget: minutes that each method of a fold is trained for.
        max_steps: of each training stage, in place of the budget.
        preset: of all trainings.
        train: (network, further options of its training).
        size, fps, num_frames, stride, flow, sequences: of the dataset folders; sequences at most of each clip.
        test_sequences: at most so many of each clip are tested on.
        metrics, samples, steps, weights, device, seed, intervals: as for :class:`MotionOptions`.
    """

    clips: tuple[Path, ...]
    output: Path
    real: Path | None = None
    tables: tuple[str, ...] = ("motion",)
    methods: tuple[str, ...] | None = None
    variants: tuple[str, ...] | None = None
    folds: int = 3
    only_folds: int | None = None
    budget: float = 60.0
    max_steps: int | None = None
    preset: str = "small"
    train: tuple[tuple[str, str], ...] = ()
    size: tuple[int, int] = (256, 160)
    fps: float = 30.0
    num_frames: int = 150
    stride: int = 30
    num_frequencies: int = 24
    flow: str = "coarse2fine"
    sequences: int = 5
    test_sequences: int = 1
    metrics: tuple[str, ...] | None = None
    samples: int = 5
    steps: int | None = None
    intervals: bool = True
    weights: Path | None = None
    workers: int = 1
    device: str = "auto"
    seed: int = 0
