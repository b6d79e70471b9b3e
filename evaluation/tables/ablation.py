"""The ablation table (paper Table 2): rows trained or given, scored by the motion table's metrics, row by row.

A folder holds one folder a row. What is finished is kept: the same command trains and scores only what is missing, or
what no longer agrees with the files that it was computed from.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common.command_line import write_json
from common.files import temporary_path
from common.hashing import file_sha256
from evaluation.metrics.registry import METRICS, chosen, format_value, in_order, metric_names, metric_of
from evaluation.tables.ablation_training import REPORT_FILE, ROWS, Ablation, exclusive, motion_checkpoint

FORMAT_VERSION = 1
SCORE_FILE = "score.json"  # in a row's folder: its motion report and what that depends on
# Arguments that a row's figures depend on, beside files.
SCORE_OPTIONS = (
    *("split", "max_sequences", "metrics", "samples", "steps", "guidance", "num_frequencies", "renderer"),
    *("no_intervals", "seed"),
)
ROW_PARTS = ("table", "intervals", "counts", "notes", "per_sequence")


def evaluate_ablation(arguments: argparse.Namespace) -> dict:
    """The report of ``evaluate.py ablation``; also written as ``ablation.json`` and ``ablation.png`` in the output.

    Args:
        arguments: `output`, the folder of the rows; `preset`, `max_steps` and `seed` of the training; `rows`, the names
            to compute or None for all; `run`, pairs (row, checkpoint folder) that are scored in place of training;
            `checkpoint`, whose renderer is used; `data`, `split` and what else
            :func:`evaluation.tables.motion.evaluate_motion` takes.

    Raises:
        ValueError: one line on unknown rows, a given checkpoint that is none, a row's folder from another training, a
            training that failed, or anything that the motion table refuses.
    """
    rows = chosen(arguments.rows, ROWS, "--rows")
    ablation = Ablation(
        output=Path(arguments.output).resolve(),
        data=Path(arguments.data).resolve(),
        preset=arguments.preset,
        max_steps=arguments.max_steps,
        seed=arguments.seed,
        device=arguments.device,
        given=given_checkpoints(arguments.run),
    )
    reports: dict[str, dict] = {}
    missing: dict[str, str] = {}
    with exclusive(ablation.output) as lock:
        ablation = replace(ablation, lock=lock)
        for number, name in enumerate(rows, 1):
            note = ablation.missing_frequencies(name)
            print(f"ablation: row {number} of {len(rows)}, {name}" + (f": {note}" if note else ""), flush=True)
            if note:
                missing[name] = note
            else:
                reports[name] = score_row(ablation, name, arguments)
            report = assemble(ablation, rows[:number], reports, missing, arguments)
            write_results(ablation.output, report)
    return report


def given_checkpoints(pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Motion checkpoint of each row given as (row, folder); rows' names may hold the ``=`` that separates the two."""
    given = {}
    trained = [name for name, row in ROWS.items() if row.method == "model" and not row.weights_of]
    for first, rest in pairs:
        text = f"{first}={rest}"
        name = next((name for name in trained if text.startswith(f"{name}=")), None)
        if name is None:
            raise ValueError(
                f"--run {text}: no such row to give a checkpoint for, expected one of {', '.join(trained)}"
            )
        given[name] = motion_checkpoint(Path(text[len(name) + 1 :])).resolve()
    return given


# Scoring a row --------------------------------------------------------------------------------------------------------


def score_row(ablation: Ablation, name: str, arguments: argparse.Namespace) -> dict:
    """A row's motion report, from its folder where that still holds, else computed after training."""
    from evaluation.tables.motion import evaluate_motion

    row = ROWS[name]
    folder = ablation.output / name
    checkpoint = Path(arguments.checkpoint)
    if row.method == "model":
        checkpoint = join_pipeline(folder / "pipeline", ablation.train(name), renderer_folder(arguments.checkpoint))
    changed = {"checkpoint": checkpoint, "methods": (row.method,), "method_checkpoint": [], "videos": []}
    changed |= {"output": None, "html": None, "renderer": row.renderer or arguments.renderer}
    arguments = argparse.Namespace(**(vars(arguments) | changed))
    depends = dependencies(row.method, arguments)
    path = folder / SCORE_FILE
    stored = read_json(path)
    if stored.get("depends") == depends:
        return stored["report"]
    report = evaluate_motion(arguments)
    write_json(path, {"depends": depends, "report": report})
    return report


def dependencies(method: str, arguments: argparse.Namespace) -> dict:
    """Everything that a row's figures depend on: hashes of files, and options."""
    from evaluation.report.report import checkpoint_provenance, weights_provenance
    from evaluation.tables.motion import METRICS as MOTION_TABLE_METRICS

    metrics = chosen(arguments.metrics, MOTION_TABLE_METRICS, "--metrics")
    networks = sorted({network for metric in metrics for network in METRICS[metric].weights})
    values = {
        "format_version": FORMAT_VERSION,
        "method": method,
        "manifest": file_sha256(Path(arguments.data) / "manifest.csv"),
        "checkpoint": checkpoint_provenance(arguments.checkpoint)["files"] if method == "model" else None,
        "weights": weights_provenance(networks, arguments.weights),
        "options": {option: getattr(arguments, option) for option in SCORE_OPTIONS},
    }
    return json.loads(json.dumps(values))  # as it will be read back


def renderer_folder(checkpoint: str | Path) -> Path:
    """The renderer's checkpoint folder of a pipeline."""
    from models.pipeline import checkpoint_folders

    return checkpoint_folders(checkpoint)["frame_synthesis"].resolve()


def join_pipeline(folder: Path, motion: Path, renderer: Path) -> Path:
    """A pipeline folder, as `generate.py --checkpoint` takes it, of links to a motion model and a renderer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in (("motion", motion), ("frame_synthesis", renderer)):
        link = folder / name
        if link.is_symlink():
            link.unlink()
        elif link.is_dir():
            shutil.rmtree(link)
        try:
            link.symlink_to(target, target_is_directory=True)
        except OSError:  # where links are not allowed
            shutil.copytree(target, link, ignore=shutil.ignore_patterns("state", "samples", "*.png", "*.csv"))
    return folder


# The whole table ------------------------------------------------------------------------------------------------------


def assemble(
    ablation: Ablation,
    rows: Sequence[str],
    reports: Mapping[str, dict],  # motion report of each row that was computed
    missing: Mapping[str, str],  # why each of the others was not
    arguments: argparse.Namespace,
) -> dict:
    """One report of all rows, in the form of the motion table's."""
    from evaluation.report.report import checkpoint_provenance, data_provenance
    from evaluation.sequences import load_sequences
    from evaluation.tables.motion import METRICS as MOTION_TABLE_METRICS
    from evaluation.tables.motion import ratios

    metrics = list(chosen(arguments.metrics, MOTION_TABLE_METRICS, "--metrics"))
    sequences = load_sequences(ablation.data, arguments.split, arguments.max_sequences)
    result: dict = {part: {name: {} for name in rows} for part in ROW_PARTS}
    for name in rows:
        for part in ROW_PARTS:
            if name in reports:
                result[part][name] = reports[name][part][ROWS[name].method]
            elif part != "per_sequence":
                empty = {"notes": missing.get(name), "counts": 0}.get(part)
                result[part][name] = dict.fromkeys(metrics, empty)
    curves: dict[str, dict] = {}
    for name, report in reports.items():
        for metric, lines in report["curves"].items():
            if ROWS[name].method in lines:
                curves.setdefault(metric, {})[name] = lines[ROWS[name].method]
    return {
        "format_version": FORMAT_VERSION,
        "kind": "ablation",
        "data": data_provenance(ablation.data, arguments.split, sequences),
        "checkpoint": checkpoint_provenance(arguments.checkpoint, ("frame_synthesis",)),
        "weights": {key: value for report in reports.values() for key, value in report["weights"].items()},
        "seed": arguments.seed,
        "protocol": protocol(ablation, rows, reports, arguments),
        **result,
        "ratios": ratios(result["table"], result["intervals"], metrics),
        "curves": curves,
        "warnings": in_order(
            warning.replace(f" of {ROWS[name].method}:", f" of {name}:")
            for name, report in reports.items()
            for warning in report["warnings"]
        ),
        "timings": {name: sum(report["timings"].values()) for name, report in reports.items()},
    }


def protocol(
    ablation: Ablation, rows: Sequence[str], reports: Mapping[str, dict], arguments: argparse.Namespace
) -> dict:
    """How the figures came about, with each row's checkpoint."""
    shared = ("samples", "steps", "guidance", "num_frequencies", "renderer", "max_sequences")
    return {
        "preset": ablation.preset,
        "max_steps": ablation.max_steps,
        **{name: getattr(arguments, name) for name in shared},
        "rows": {
            name: {
                "options": " ".join(ROWS[name].options),
                "starts_from": ROWS[name].base,
                "renderer": ROWS[name].renderer or arguments.renderer,
                "given": ablation.given[name].name if name in ablation.given else None,
                "checkpoint": reports[name]["checkpoint"] if ROWS[name].method == "model" else None,
                "training_seconds": training_seconds(ablation.output / name),
            }
            for name in rows
            if name in reports
        },
    }


def training_seconds(folder: Path) -> float | None:
    """How long the last of a row's trainings ran, if it was trained here."""
    return read_json(folder / REPORT_FILE).get("seconds")


def read_json(path: Path) -> dict:
    """What a file of ours holds; nothing where it is missing or damaged, so that it is made again."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_results(output: Path, report: dict) -> None:
    """Write ``ablation.json`` and ``ablation.png``; both are whole at any time."""
    write_json(output / "ablation.json", report)
    with temporary_path(output / "ablation.png") as temporary:
        temporary.write_bytes(ablation_plot(report))


def ablation_plot(report: Mapping) -> bytes:
    """PNG with one panel of bars for each metric that any row has, intervals as thin lines."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = report["table"]
    rows = list(table)
    metrics = [name for name in metric_names(table) if any(table[row].get(name) is not None for row in rows)]
    columns = min(3, max(1, len(metrics)))
    lines = max(1, -(-len(metrics) // columns))
    figure = Figure(figsize=(2.0 + 3.0 * columns, lines * (1.0 + 0.3 * len(rows))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).flatten()
    for axes, metric in zip(panels, metrics, strict=False):
        draw_bars(axes, report, metric)
    for axes in panels[len(metrics) :]:
        axes.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def draw_bars(axes, report: Mapping, metric: str) -> None:
    """One panel of :func:`ablation_plot`: a bar a row, the first one on top."""
    shown = metric_of(metric)
    rows = list(report["table"])
    for place, row in enumerate(rows):
        value = report["table"][row].get(metric)
        if value is None:
            axes.text(0, place, " not computed", va="center", fontsize=7, color="0.5")
            continue
        axes.barh(place, value, 0.7, color="tab:blue" if row == "full" else "0.75")
        interval = report["intervals"][row].get(metric)
        end = value
        if interval is not None:
            axes.plot(interval, (place, place), color="0.25", linewidth=1)
            end = max(value, interval[1])
        axes.text(end, place, " " + format_value(value, shown.decimals), va="center", fontsize=7)
    better = {"higher": ", higher is better", "lower": ", lower is better", "one": ", 1 is right"}
    axes.set_title(shown.label + better.get(shown.better or "", ""), fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.margins(x=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
