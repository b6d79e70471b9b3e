"""From clips to the tables of the paper: every step is kept, and the tables are written after each fold."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from common.command_line import PartFailure, package_versions, write_json
from common.hashing import file_sha256
from evaluation.metrics.collection import REAL, load_networks
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, choose, chosen, in_order, of_table
from evaluation.options import BenchmarkOptions, MotionOptions, RenderingOptions
from evaluation.report.report import data_provenance, weights_provenance
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.ablation import join_pipeline
from evaluation.tables.ablation_training import exclusive
from evaluation.tables.benchmark.folds import deal_scenes, make_film, make_fold, make_loops
from evaluation.tables.benchmark.ledger import Ledger
from evaluation.tables.benchmark.networks import TABLES, TableRow
from evaluation.tables.benchmark.page import write_pages
from evaluation.tables.benchmark.parts import Load, Part, pool, score_part
from evaluation.tables.benchmark.training import Call, Trainer, TrainingFailure, call_python
from evaluation.tables.cells import cells, missing_note

SHARED = ("metrics", "samples", "steps", "weights", "device", "seed", "intervals")  # with the motion table


@dataclass(frozen=True)
class Fold:
    """Scenes that are tested by networks trained on the others."""

    place: str  # its folder below the output
    data: Path
    manifest: str


@dataclass
class Benchmark:
    """One benchmark folder and what has been made in it."""

    options: BenchmarkOptions
    trainer: Trainer
    load: Load
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    failures: list[str] = field(default_factory=list)  # lines about what could not be trained
    reports: dict[str, dict] = field(default_factory=dict)  # by table
    parts: dict[str, list[Part]] = field(default_factory=dict)  # by table of motion

    @property
    def ledger(self) -> Ledger:
        return self.trainer.ledger

    @property
    def output(self) -> Path:
        return self.ledger.output

    @property
    def data(self) -> Path:
        """The dataset folder of all clips."""
        return self.output / "dataset"

    # Data -------------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[Fold]:
        """The dataset folders of all folds."""
        options = self.options
        names = ("size", "fps", "num_frames", "stride", "num_frequencies", "flow", "sequences")
        told = {name: getattr(options, name) for name in names} | {"clips": [str(path) for path in options.clips]}
        whole = self.ledger.do("data", lambda _: make_loops(options, self.data), rests_on=told)
        folds = []
        for number, scenes in enumerate(deal_scenes(self.data, options.folds, seed=options.seed), 1):
            place = f"folds/{number}"
            folder = self.output / place / "dataset"
            made = self.ledger.do(
                f"{place}/data",
                lambda _, folder=folder, scenes=scenes: make_fold(options, folder, whole=self.data, scenes=scenes),
                rests_on={"whole": whole, "scenes": scenes},
            )
            folds.append(Fold(place, folder, made["manifest"]))
        return folds

    def film(self, networks: Fold) -> Fold:
        """Film that all networks of a fold are tested on, which have seen none of it."""
        folder = self.output / "film" / "dataset"
        told = {"film": str(self.options.real), "size": self.options.size, "fps": self.options.fps}
        made = self.ledger.do("film/data", lambda _: make_film(self.options, folder), rests_on=told)
        return Fold(networks.place, folder, made["manifest"])

    # Rows -------------------------------------------------------------------------------------------------------------

    def rows(self, table: str) -> dict[str, TableRow]:
        """The rows of a table of motion that were asked for."""
        known, options = TABLES[table], self.options
        asked = options.methods if table == "motion" else options.variants
        return {name: known[name] for name in chosen(asked, known, "--methods" if table == "motion" else "--variants")}

    def score(self, fold: Fold, rows: Mapping[str, TableRow], *, trained_on: Fold, place: str) -> list[Part]:
        """The parts of all rows on a fold's test split, and of its real videos; rows that can't be trained are left
        out, with a line in ``failures``."""
        sequences = load_sequences(fold.data, "test", self.options.test_sequences)
        parts = [self._part(REAL, None, fold, place, sequences, networks={})]
        for name, row in rows.items():
            try:
                networks = {
                    network: self.trainer.train(
                        network, trained_on.place, data=trained_on.data, manifest=trained_on.manifest
                    )
                    for network in row.networks
                }
            except TrainingFailure as failure:
                self.failures.append(str(failure))
                print(f"benchmark: {name} is left out: {failure}", file=sys.stderr)
                continue
            parts.append(self._part(name, row, fold, place, sequences, networks=networks))
        return parts

    def _part(
        self,
        name: str,
        row: TableRow | None,
        fold: Fold,
        place: str,
        sequences: Sequence[EvaluationSequence],
        *,
        networks: Mapping[str, Path],
    ) -> Part:
        options = self.options
        rests_on = {
            **{option: getattr(options, option) for option in ("metrics", "samples", "steps", "seed")},
            "test_sequences": options.test_sequences,
            "manifest": fold.manifest,
            "row": None if row is None else [row.method, row.renderer],
            "networks": {network: self._trained_files(path) for network, path in networks.items()},
            "weights": self.weights,
        }
        step = f"{place}/rows/{name}"
        self.ledger.do(
            step,
            lambda folder: score_part(
                self._told(row, fold.data, folder, networks), folder, load=self.load, metrics=self.metrics
            ),
            rests_on=rests_on,
        )
        return Part(name, self.output / step, sequences)

    def _trained_files(self, run: Path) -> dict[str, str]:
        from evaluation.report.report import folder_provenance

        return folder_provenance(run)["files"]

    def _told(self, row: TableRow | None, data: Path, folder: Path, networks: Mapping[str, Path]) -> MotionOptions:
        """What the motion table is told of a row; without one, of the real videos."""
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

    @cached_property
    def weights(self) -> dict[str, str | None]:
        """Hashes of the weights behind the metrics."""
        columns = choose(of_table("motion", self.metrics), self.options.metrics, "--metrics")
        named = in_order(name for metric in columns.values() for name in metric.weights)
        return weights_provenance(named, self.options.weights)

    # Tables -----------------------------------------------------------------------------------------------------------

    def motion_table(self, table: str, parts: Sequence[Part], folds: Sequence[Fold]) -> None:
        """Pool the parts of a table of motion and write its report."""
        of_row = {row: [part for part in parts if part.row == row] for row in in_order(part.row for part in parts)}
        complete = {row for row, found in of_row.items() if len(found) == len(of_row[REAL])}
        kept = [part for part in parts if part.row in complete]  # one that lacks a fold would have other scenes
        values = {name: getattr(self.options, name) for name in SHARED}
        told = MotionOptions(data=self.data, methods=(), **values)
        sequences = [sequence for part in of_row[REAL] for sequence in part.sequences]
        data = folds[0].data if table == "film" else self.data
        self.reports[table] = {
            "format_version": 1,
            "kind": "motion",
            "data": data_provenance(data, f"{len(of_row[REAL])} of {self.options.folds} folds", sequences=sequences),
            "checkpoint": None,
            "weights": self.weights,
            "seed": self.options.seed,
            "protocol": self._protocol(table, folds),
            **pool(kept, told, load=self.load, metrics=self.metrics),
        }
        self.parts[table] = kept
        self.write(table)

    def _protocol(self, table: str, folds: Sequence[Fold]) -> dict[str, Any]:
        rows = self.rows("ablation" if table == "ablation" else "motion")
        networks = in_order(network for row in rows.values() for network in row.networks)
        names = ("folds", "preset", "budget", "max_steps", "samples", "steps", "fps", "num_frames", "size")
        return {
            **{name: getattr(self.options, name) for name in names},
            "trainings": {
                f"{fold.place} {network}": {
                    key: value for key, value in self.trainer.trained(network, fold.place).items() if key != "files"
                }
                for fold in folds
                for network in networks
                if (self.output / fold.place / "networks" / network / "run").is_dir()
            },
        }

    def rendering_table(self, fold: Fold, place: str) -> dict[str, Any]:
        """The rendering table of a fold's renderer on a dataset folder's test split."""
        from evaluation.tables.rendering import evaluate_rendering

        renderer = self.trainer.train("renderer", fold.place, data=fold.data, manifest=fold.manifest)
        told = RenderingOptions(
            data=fold.data if place == fold.place else self.output / place / "dataset",
            checkpoint=renderer,
            weights=self.options.weights,
            max_sequences=self.options.test_sequences,
            device=self.options.device,
        )
        return self.ledger.do(
            f"{place}/rendering",
            lambda _: evaluate_rendering(told),
            rests_on={
                "renderer": self._trained_files(renderer),
                "manifest": file_sha256(told.data / "manifest.csv"),
                "max_sequences": told.max_sequences,
            },
        )

    def pooled_rendering(self, reports: Sequence[dict[str, Any]]) -> None:
        """Pool the rendering tables of several folds: means over all sequences."""
        rows = list(reports[0]["per_sequence"])
        scores = {row: {k: v for report in reports for k, v in report["per_sequence"][row].items()} for row in rows}
        known = {
            row: {k: {m: x for m, x in v.items() if x is not None} for k, v in of.items()} for row, of in scores.items()
        }
        identities = {k: v for report in reports for k, v in report["data"]["identities"].items()}
        columns = of_table("rendering", self.metrics)
        data = {**reports[0]["data"], "identities": identities, "sequences": len(identities)}
        data["sources"] = len({identity["source"] for identity in identities.values()})
        table = cells(
            rows,
            columns,
            scores=known,
            sources={key: identity["source"] for key, identity in identities.items()},
            distances={},
            missing=lambda row, name: reports[0]["notes"][row].get(name) or missing_note(columns[name], still=False),
        )
        self.reports["rendering"] = {**reports[0], "data": data, **table, "per_sequence": scores, "warnings": []}
        self.write("rendering")

    def write(self, table: str) -> None:
        """Write a table's report, and the page and the Markdown of all that are there."""
        versions = {"script": "evaluate.py benchmark", "versions": package_versions()}
        write_json(self.output / f"{table}.json", {**versions, **self.reports[table]})
        write_pages(self.output, self.reports, self.parts)


def evaluate_benchmark(
    options: BenchmarkOptions,
    *,
    call: Call = call_python,
    load: Load = load_networks,
    metrics: Mapping[str, Metric] = METRICS,
) -> dict[str, dict]:
    """The reports of ``evaluate.py benchmark`` by table, all written to the output folder.

    Args:
        call: runs Python with some arguments, holding a lock; gives its exit status.
        load: gives the networks behind the metrics of sets.
        metrics: those that the options choose from, by name.

    Raises:
        ValueError: one line: clips that can't be prepared, fewer clips than folds, unknown rows or metrics, a folder
            that holds trainings of other options.
        PartFailure: networks that could not be trained, when all the others are in the tables.
    """
    output = Path(options.output).resolve()
    with exclusive(output) as lock:
        trainer = Trainer(options, Ledger(output), lock, call)
        benchmark = Benchmark(options, trainer, Kept(load), metrics)
        for table in options.tables:
            if table in TABLES:
                benchmark.rows(table)  # unknown names are told before the clips are prepared
        run_tables(benchmark, benchmark.prepare())
    if benchmark.failures:
        raise PartFailure(in_order(benchmark.failures))
    return benchmark.reports


def run_tables(benchmark: Benchmark, folds: Sequence[Fold]) -> None:
    """Make the tables asked for, fold by fold; after each fold they are written as far as they are known."""
    options = benchmark.options
    for table in (name for name in TABLES if name in options.tables):
        parts: list[Part] = []
        for number, fold in enumerate(folds, 1):
            parts += benchmark.score(fold, benchmark.rows(table), trained_on=fold, place=fold.place)
            benchmark.motion_table(table, parts, folds[:number])
    if options.real is not None:
        film = benchmark.film(folds[0])
        if "motion" in options.tables:
            parts = benchmark.score(film, benchmark.rows("motion"), trained_on=folds[0], place="film")
            benchmark.motion_table("film", parts, [film])
    if "rendering" in options.tables:
        if options.real is not None:
            benchmark.pooled_rendering([benchmark.rendering_table(folds[0], "film")])
        else:
            benchmark.pooled_rendering([benchmark.rendering_table(fold, fold.place) for fold in folds])


class Kept:
    """Networks that are loaded once for all parts."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._found: dict[tuple[str, ...], tuple[dict, dict[str, str]]] = {}

    def __call__(self, metrics: Mapping[str, Metric], **options: Any) -> tuple[dict, dict[str, str]]:
        key = tuple(metrics)
        if key not in self._found:
            self._found[key] = self._load(metrics, **options)
        return self._found[key]
