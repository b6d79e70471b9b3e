"""From clips to the tables of the paper: every step is kept, and the tables are written after each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.command_line import PartFailure, package_versions, write_json
from common.files import write_text
from evaluation.metrics.collection import REAL, load_networks
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, chosen, in_order
from evaluation.options import BenchmarkOptions
from evaluation.report.report import data_provenance
from evaluation.tables.ablation_training import exclusive
from evaluation.tables.benchmark.folds import Fold, Scenes, deal_scenes, listing, make_film, make_fold, make_loops
from evaluation.tables.benchmark.ledger import Ledger
from evaluation.tables.benchmark.networks import TABLES, TableRow
from evaluation.tables.benchmark.page import markdown, write_tables_page
from evaluation.tables.benchmark.parts import Load, Part, pool
from evaluation.tables.benchmark.rendering import pool_rendering
from evaluation.tables.benchmark.scoring import Scorer
from evaluation.tables.benchmark.training import Call, Trainer, call_python

DATA_OPTIONS = ("size", "fps", "num_frames", "stride", "num_frequencies", "flow", "sequences")
FILM_OPTIONS = tuple("test_sequences" if name == "sequences" else name for name in DATA_OPTIONS)
PROTOCOL = ("preset", "budget", "max_steps", "samples", "steps", "test_sequences", *DATA_OPTIONS)


@dataclass
class Benchmark:
    """One benchmark folder and what has been made in it."""

    options: BenchmarkOptions
    scorer: Scorer
    reports: dict[str, dict] = field(default_factory=dict)  # by table
    parts: dict[str, list[Part]] = field(default_factory=dict)  # by table of motion

    @property
    def ledger(self) -> Ledger:
        return self.scorer.trainer.ledger

    @property
    def output(self) -> Path:
        return self.ledger.output

    def rows(self, table: str) -> dict[str, TableRow]:
        """The rows of a table of motion that were asked for."""
        known, asked, option = TABLES[table], self.options.methods, "--methods"
        if table == "ablation":
            asked, option = self.options.variants, "--variants"
        return {name: known[name] for name in chosen(asked, known, option)}

    # Data -------------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[Fold]:
        """The dataset folders of all folds."""
        options, whole = self.options, self.output / "dataset"
        told = {name: getattr(options, name) for name in DATA_OPTIONS} | {"clips": listing(options.clips)}
        made = self.ledger.do("data", lambda _: make_loops(options, whole), rests_on=told)
        dealt = deal_scenes(whole, options.folds, seed=options.seed)[: options.only_folds]
        return [self._fold(f"folds/{number}", scenes, made) for number, scenes in enumerate(dealt, 1)]

    def _fold(self, place: str, scenes: Scenes, whole: Mapping[str, Any]) -> Fold:
        folder = self.output / place / "dataset"
        made = self.ledger.do(
            f"{place}/data",
            lambda _: make_fold(self.options, folder, whole=self.output / "dataset", scenes=scenes),
            rests_on={"whole": whole, "scenes": scenes},
        )
        return Fold(place, folder, made["manifest"])

    def film(self) -> Fold:
        """Film that networks are tested on which have seen none of it."""
        assert self.options.real is not None
        folder = self.output / "film" / "dataset"
        told = {name: getattr(self.options, name) for name in FILM_OPTIONS} | {"film": listing([self.options.real])}
        made = self.ledger.do("film/data", lambda _: make_film(self.options, folder), rests_on=told)
        return Fold("film", folder, made["manifest"])

    # Tables -----------------------------------------------------------------------------------------------------------

    def motion_table(self, table: str, parts: Sequence[Part], tested: Sequence[Fold], trained: Sequence[Fold]) -> None:
        """Pool the parts of a table of motion and write its report."""
        of_row = {row: [part for part in parts if part.row == row] for row in in_order(part.row for part in parts)}
        real = of_row[REAL]
        # A row that lacks a fold would stand for other scenes than the others.
        kept = [part for found in of_row.values() if len(found) == len(real) for part in found]
        data = tested[0].data if table == "film" else self.output / "dataset"
        sequences = [sequence for part in real for sequence in part.sequences]
        folds = f"{len(trained)} of {self.options.folds} folds" if table != "film" else "film"
        pooled = pool(kept, self.scorer.told(None, data), load=self.scorer.load, metrics=self.scorer.metrics)
        self.reports[table] = {
            "format_version": 1,
            "kind": "ablation" if table == "ablation" else "motion",
            "data": data_provenance(data, folds, sequences=sequences),
            "checkpoint": None,
            "weights": self.scorer.weights,
            "seed": self.options.seed,
            "protocol": self._protocol(self._networks(table), trained),
            **pooled,
            "warnings": [*pooled["warnings"], *self.scorer.failures],
        }
        self.parts[table] = kept
        self.write(table)

    def networks(self) -> list[str]:
        """All that are trained for the tables asked for."""
        tables = [name for name in TABLES if name in self.options.tables]
        found = [network for table in tables for network in self._networks(table)]
        return in_order([*found, *(["renderer"] if "rendering" in self.options.tables else [])])

    def _networks(self, table: str) -> list[str]:
        rows = self.rows("ablation" if table == "ablation" else "motion")
        return in_order(network for row in rows.values() for network in row.networks)

    def _protocol(self, networks: Sequence[str], folds: Sequence[Fold]) -> dict[str, Any]:
        trained = {
            f"{fold.place}, {name}": self.scorer.trainer.timing(name, fold) for fold in folds for name in networks
        }
        return {
            **{name: getattr(self.options, name) for name in PROTOCOL},
            "trainings": {name: timing for name, timing in trained.items() if timing},
        }

    def rendering_table(self, reports: Mapping[str, Mapping[str, Any]], trained: Sequence[Fold]) -> None:
        """Pool the rendering tables of several folds and write the report.

        Args:
            reports: by the place of the fold, or film, that was tested on.
            trained: the folds whose renderers were asked for.
        """
        film = self.options.real is not None
        split = "film" if film else f"{len(reports)} of {self.options.folds} folds"
        pooled = pool_rendering(reports, split=split, metrics=self.scorer.metrics)
        told = {**pooled["protocol"], **self._protocol(["renderer"], trained)}
        warned = in_order([*pooled["warnings"], *self.scorer.failures])
        self.reports["rendering"] = {**pooled, "protocol": told, "warnings": warned}
        self.write("rendering")

    def write(self, table: str) -> None:
        """Write a table's report, and all tables that are there as Markdown."""
        made_by = {"script": "evaluate.py benchmark", "versions": package_versions()}
        write_json(self.output / f"{table}.json", {**made_by, **self.reports[table]})
        write_text(self.output / "tables.md", "\n".join(markdown(*pair) for pair in self.reports.items()))

    def show(self) -> None:
        """Write the page of all tables that are there."""
        write_tables_page(self.output / "report.html", self.reports, self.parts)


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
            that holds trainings with other options, or that another process works in.
        PartFailure: networks that could not be trained, when all the others are in the tables.
    """
    output = Path(options.output).resolve()
    with exclusive(output) as lock:
        trainer = Trainer(options, Ledger(output), lock, call)
        benchmark = Benchmark(options, Scorer(options, trainer, Kept(load), metrics))
        _ = benchmark.scorer.columns  # unknown names are told before the clips are prepared
        for table in TABLES:
            benchmark.rows(table)
        run_tables(benchmark, benchmark.prepare())
    if benchmark.scorer.failures:
        raise PartFailure(in_order(benchmark.scorer.failures))
    return benchmark.reports


def run_tables(benchmark: Benchmark, folds: Sequence[Fold]) -> None:
    """Make the tables asked for, fold by fold; after each fold they are written as far as they are known.

    The page follows at the end of each table.
    """
    options, scorer = benchmark.options, benchmark.scorer
    scorer.trainer.time(benchmark.networks(), folds[0].data)
    for table in (name for name in TABLES if name in options.tables):
        parts: list[Part] = []
        for number, fold in enumerate(folds, 1):
            parts += scorer.score(fold, benchmark.rows(table), trained_on=fold)
            benchmark.motion_table(table, parts, folds[:number], folds[:number])
        benchmark.show()
    film = None if options.real is None else benchmark.film()
    if film is not None and "motion" in options.tables:
        parts = scorer.score(film, benchmark.rows("motion"), trained_on=folds[0])
        benchmark.motion_table("film", parts, [film], folds[:1])
        benchmark.show()
    if "rendering" in options.tables:
        pairs = [(film, folds[0])] if film else [(fold, fold) for fold in folds]
        made = {tested.place: scorer.rendering(tested, trained_on=trained) for tested, trained in pairs}
        if reports := {place: report for place, report in made.items() if report is not None}:
            benchmark.rendering_table(reports, [trained for _, trained in pairs])
            benchmark.show()


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
