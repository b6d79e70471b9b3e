"""What is trained for the benchmark, and for which rows of which table. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evaluation.tables.ablation_training import ROWS

PRESETS = ("tiny", "small", "default")


@dataclass(frozen=True)
class Stage:
    """A stage of a training: its share of the network's time, and where it logs below the run folder."""

    name: str
    share: float
    log: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """How a network is trained by its own command.

    Attributes:
        command: script or module, and what follows it.
        stages: in order.
        presets: options by the benchmark's preset.
        share: of the budget of a method.
        steps: option of a stage's number of steps; ``{}`` stands for the stage's name. Where it has none, the stages
            are called one by one with ``--stage``, unless there is only one.
        options: further ones.
        num_frequencies: K, where it is not the preset's.
        weights: whether its command takes the folder of the metrics' weights, for its losses.
    """

    command: tuple[str, ...]
    stages: tuple[Stage, ...]
    presets: Mapping[str, tuple[str, ...]]
    share: float = 1.0
    steps: str = "--max-steps"
    options: tuple[str, ...] = ()
    num_frequencies: int = 0
    weights: bool = True

    def calls(self, steps: Mapping[str, int]) -> list[list[str]]:
        """The arguments of each call that trains all stages for so many steps."""
        counts = {stage.name: [self.steps.format(stage.name), str(steps[stage.name])] for stage in self.stages}
        if "{}" in self.steps or len(self.stages) == 1:
            return [[*self.command, *(word for words in counts.values() for word in words)]]
        return [[*self.command, "--stage", name, *words] for name, words in counts.items()]


def _motion(**shares: float) -> tuple[Stage, ...]:
    return tuple(Stage(name.replace("_", "-"), share, f"log_{name}.csv") for name, share in shares.items())


def _presets(tiny: str, small: str, default: str) -> dict[str, tuple[str, ...]]:
    return {"tiny": tuple(tiny.split()), "small": tuple(small.split()), "default": tuple(default.split())}


MOTION = Network(
    command=("train_unet.py",),
    stages=_motion(autoencoder=0.25, slice=0.45, frequency_attention=0.15, decoder=0.15),
    presets=_presets("--preset tiny", "--preset small", "--preset default"),
    share=0.75,
    steps="--{}-steps",
    weights=False,
)
WITHOUT_ATTENTION = _motion(autoencoder=0.25, slice=0.6, decoder=0.15)
RENDERER = Network(
    command=("train_frame_synthesis.py",),
    stages=(Stage("renderer", 1.0, "log.csv"),),
    presets=_presets("--preset tiny", "--warmup 10 --crop 96x64", ""),
    share=0.25,
)
LFDM = Network(
    command=("-m", "baselines.lfdm", "train"),
    stages=(Stage("autoencoder", 0.6, "autoencoder/log.csv"), Stage("diffusion", 0.4, "diffusion/log.csv")),
    presets=_presets("--preset tiny", "--preset small", "--preset small"),
)
CINN = Network(
    command=("-m", "baselines.cinn", "train"),
    stages=(
        Stage("vae", 0.7, "vae/log.csv"),
        Stage("condition", 0.1, "condition/log.csv"),
        Stage("flow", 0.2, "flow/log.csv"),
    ),
    presets=_presets("--preset tiny", "--preset small", "--preset small"),
)
NETWORKS = {
    "motion": MOTION,
    "renderer": RENDERER,
    "lfdm": LFDM,
    "cinn": CINN,
    **{f"K={count}": replace(MOTION, num_frequencies=count) for count in (4, 8, 24)},
    "no-adaptive-normalisation": replace(MOTION, options=ROWS["no-adaptive-normalisation"].options),
    "independent-frequencies": replace(MOTION, options=("--independent",), stages=WITHOUT_ATTENTION),
    "joint-volume": replace(MOTION, options=("--joint",), stages=WITHOUT_ATTENTION),
}


@dataclass(frozen=True)
class TableRow:
    """A row: a method of the motion table and the networks that it needs."""

    method: str
    networks: tuple[str, ...] = ()
    renderer: str = "model"

    @property
    def motion(self) -> str | None:
        """The motion model among the networks."""
        return next((name for name in self.networks if NETWORKS[name].command == MOTION.command), None)


MOTION_ROWS = {
    "model": TableRow("model", ("motion", "renderer")),
    "lfdm": TableRow("lfdm", ("lfdm",)),
    "cinn": TableRow("cinn", ("cinn",)),
    "repeat": TableRow("repeat"),
    "jelly": TableRow("jelly", ("renderer",)),
    "shuffled": TableRow("shuffled", ("renderer",)),
    "true-motion": TableRow("true-motion", ("renderer",)),
}
ABLATION_ROWS = {
    "repeat": MOTION_ROWS["repeat"],
    **{name: TableRow("model", (name, "renderer")) for name in ROWS if name in NETWORKS},
    "image-splatting": TableRow("model", ("motion",), renderer="softmax"),
    "full": MOTION_ROWS["model"],
}
TABLES = {"motion": MOTION_ROWS, "ablation": ABLATION_ROWS}
