"""Training and scoring the rows of a table on one fold, each in a step of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.metrics.collection import REAL
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, choose, in_order, of_table
from evaluation.options import BenchmarkOptions, MotionOptions, RenderingOptions
from evaluation.report.report import folder_provenance, weights_provenance
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.ablation import join_pipeline
from evaluation.tables.benchmark.folds import Fold
from evaluation.tables.benchmark.networks import TableRow
from evaluation.tables.benchmark.parts import Load, Part, score_part
from evaluation.tables.benchmark.training import Trainer, TrainingFailure

SHARED = ("metrics", "samples", "steps", "weights", "device", "seed", "intervals")  # with the motion table


@dataclass
class Scorer:
    """Scores rows on the test split of a fold, after training what they need."""

    options: BenchmarkOptions
    trainer: Trainer
    load: Load
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    failures: list[str] = field(default_factory=list)  # lines about what could not be trained

    @property
    def columns(self) -> dict[str, Metric]:
        """The metrics of the tables of motion.

        Raises:
            ValueError: ``--metrics`` names another one.
        """
        return choose(of_table("motion", self.metrics), self.options.metrics, "--metrics")

    @cached_property
    def weights(self) -> dict[str, str | None]:
        """Hashes of the weights behind :attr:`columns`."""
        return self._hashes(self.columns)

    def _hashes(self, columns: Mapping[str, Metric]) -> dict[str, str | None]:
        named = in_order(name for metric in columns.values() for name in metric.weights)
        return weights_provenance(named, self.options.weights)

    def score(self, fold: Fold, rows: Mapping[str, TableRow], *, trained_on: Fold) -> list[Part]:
        """The parts of all rows, and of the real videos; rows that can't be trained are left out and told."""
        sequences = load_sequences(fold.data, "test", self.options.test_sequences)
        parts = [self._part(REAL, None, fold, sequences=sequences, networks={})]
        for name, row in rows.items():
            try:
                networks = {network: self.trainer.train(network, trained_on) for network in row.networks}
            except TrainingFailure as failure:
                self.left_out(name, failure)
                continue
            parts.append(self._part(name, row, fold, sequences=sequences, networks=networks))
        return parts

    def left_out(self, name: str, failure: TrainingFailure) -> None:
        """Keep and tell why a row, or a table of a fold, is left out."""
        self.failures.append(str(failure))
        print(f"benchmark: {name} is left out: {failure}", file=sys.stderr)

    def _part(
        self,
        name: str,
        row: TableRow | None,
        fold: Fold,
        *,
        sequences: Sequence[EvaluationSequence],
        networks: Mapping[str, Path],
    ) -> Part:
        rests_on = {
            **{option: getattr(self.options, option) for option in ("metrics", "samples", "steps", "seed")},
            "test_sequences": self.options.test_sequences,
            "manifest": fold.manifest,
            "row": None if row is None else [row.method, row.renderer],
            "networks": {network: folder_provenance(run)["files"] for network, run in networks.items()},
            "weights": self.weights,
        }
        step = f"{fold.place}/rows/{name}"

        def run(folder: Path) -> dict[str, Any]:
            told = self.told(row, fold.data, folder=folder, networks=networks)
            return score_part(told, folder, load=self.load, metrics=self.metrics)

        self.trainer.ledger.do(step, run, rests_on=rests_on)
        return Part(name, self.trainer.ledger.output / step, sequences)

    def told(
        self, row: TableRow | None, data: Path, *, folder: Path = Path(), networks: Mapping[str, Path] | None = None
    ) -> MotionOptions:
        """What the motion table is told of a row; without one, of the real videos alone.

        Args:
            data: the dataset folder.
            folder: of the row, where a pipeline is joined.
            networks: run folders of its networks.
        """
        networks = networks or {}
        values: dict[str, Any] = {name: getattr(self.options, name) for name in SHARED}
        values |= {"data": data, "split": "test", "max_sequences": self.options.test_sequences}
        if row is None:
            return MotionOptions(methods=(), **values)
        if row.motion and "renderer" in networks:
            values["checkpoint"] = join_pipeline(folder / "pipeline", networks[row.motion], networks["renderer"])
        elif row.motion or "renderer" in networks:
            values["checkpoint"] = networks[row.motion or "renderer"]
        elif networks:
            values["method_checkpoints"] = tuple((row.method, path) for path in networks.values())
        return MotionOptions(methods=(row.method,), renderer=row.renderer, **values)

    def rendering(self, fold: Fold, *, trained_on: Fold) -> dict[str, Any] | None:
        """The report of the rendering table on a fold's test split; None, and told, without a renderer."""
        from evaluation.tables.rendering import evaluate_rendering

        try:
            renderer = self.trainer.train("renderer", trained_on)
        except TrainingFailure as failure:
            self.left_out(f"rendering of {fold.place}", failure)
            return None
        told = RenderingOptions(
            data=fold.data,
            checkpoint=renderer,
            weights=self.options.weights,
            max_sequences=self.options.test_sequences,
            device=self.options.device,
        )
        rests_on = {
            "renderer": folder_provenance(renderer)["files"],
            "manifest": fold.manifest,
            "test_sequences": self.options.test_sequences,
            "weights": self._hashes(of_table("rendering", self.metrics)),
        }
        step = f"{fold.place}/rendering"
        return self.trainer.ledger.do(step, lambda _: evaluate_rendering(told), rests_on=rests_on)
