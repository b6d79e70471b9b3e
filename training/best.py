"""The best checkpoint of a training, kept beside the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from common.plain import Steps, from_plain, plain_value, read_json
from models.motion.stages import stage_name

FOLDER = "best"  # in the run folder


@dataclass(frozen=True)
class Goal:
    """What a best checkpoint can be chosen by."""

    figure: str  # column of the log
    sign: int  # 1 where more is better, -1 where less is


class BestCheckpoint:
    """Which checkpoint validated best so far.

    Args:
        goal: name among ``goals``; None keeps none.
        step: of the training, which knows of no checkpoint of later steps.
        identity: of the task; a checkpoint of another task in the same folder does not count.
    """

    def __init__(
        self, output: Path, *, goal: str | None, goals: Mapping[str, Goal], step: int, identity: Mapping[str, str]
    ) -> None:
        if goal is not None and goal not in goals:
            raise ValueError(f"--keep-best {goal}: validation gives {', '.join(goals) or 'nothing'} to choose by")
        self.folder = output / FOLDER
        self._name, self._goal = goal, None if goal is None else goals[goal]
        self.found = None if goal is None else read_best(output, metric=goal, step=step, identity=identity)

    def improves(self, figures: Mapping[str, float], step: int) -> bool:
        """Whether a validation found something better than ever, which is then remembered."""
        if self._goal is None or self._goal.figure not in figures:  # nothing moves in any validation scene
            return False
        score, sign = figures[self._goal.figure], self._goal.sign
        if self.found is not None and sign * score <= sign * self.found["score"]:
            return False
        self.found = {"metric": self._name, "score": score, "step": step}
        return True


def read_best(output: Path, *, metric: str, step: int, identity: Mapping[str, str]) -> dict | None:
    """What a run resumed at ``step`` knows of its best checkpoint: metric, score and step.

    None where there is none, or one of another task or metric, or one of a step to come.
    """
    path = output / FOLDER / "config.json"
    if step == 0 or not path.is_file():
        return None
    training = plain_value(dict, read_json(path).get("training"), str(path), key="training")
    if any(stage_name(str(training.get(key))) != value for key, value in identity.items()):
        return None
    if training.get("best") is None:
        return None
    best = from_plain(_Best, training["best"], str(path), key="training.best")
    return asdict(best) if best.metric == metric and best.step <= step else None


@dataclass(frozen=True)
class _Best:
    """What a best checkpoint says of itself."""

    metric: str
    score: float
    step: Steps
