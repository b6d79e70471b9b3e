"""The ablation table (paper Table 2): rows trained or given, scored by the motion table's metrics, row by row.

A folder holds one folder a row. What is finished is kept: the same command trains and scores only what is missing, or
what no longer agrees with the files that it was computed from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.command_line import write_json
from common.files import temporary_path
from common.hashing import file_sha256
from evaluation.metrics.registry import choose, chosen, in_order, of_table
from evaluation.options import AblationOptions, MotionOptions
from evaluation.tables.ablation_training import (
    REPORT_FILE,
    ROWS,
    Ablation,
    exclusive,
    motion_checkpoint,
    stored_frequencies,
    train_unet,
)

FORMAT_VERSION = 1
SCORE_FILE = "score.json"  # in a row's folder: its motion report and what that depends on
# Options that a row's figures depend on, beside files.
SCORE_OPTIONS = ("split", "max_sequences", "metrics", "samples", "steps", "guidance", "num_frequencies", "renderer")
# Options that are those of the motion table.
MOTION_OPTIONS = (*SCORE_OPTIONS, "data", "weights", "device", "seed", "intervals")
ROW_PARTS = ("table", "intervals", "counts", "notes", "per_sequence")
Score = Callable[[MotionOptions], dict]  # evaluation.tables.motion.evaluate_motion


def evaluate_ablation(
    options: AblationOptions, *, train: Callable[..., int] = train_unet, score: Score | None = None
) -> dict:
    """The report of ``evaluate.py ablation``; also written as ``ablation.json`` and ``ablation.png`` in the output.

    Args:
        options: of ``checkpoint`` only the renderer is used.
        train: runs train_unet.py with some options, holding a lock; gives its exit status.
        score: gives the motion table's report of a row; :func:`evaluation.tables.motion.evaluate_motion` by default.

    Raises:
        ValueError: one line on unknown rows, a given checkpoint that is none, a row's folder from another training, a
            training that failed, or anything that the motion table refuses.
    """
    rows = chosen(options.rows, ROWS, "--rows")
    given = given_checkpoints(options.given)
    output = Path(options.output).resolve()
    frequencies = stored_frequencies(options.data)
    with exclusive(output) as lock:
        ablation = Ablation(
            output=output,
            data=Path(options.data).resolve(),
            preset=options.preset,
            max_steps=options.max_steps,
            seed=options.seed,
            device=options.device,
            given=given,
            stored_frequencies=frequencies,
            lock=lock,
            train_unet=train,
        )
        reports: dict[str, dict] = {}
        missing: dict[str, str] = {}
        for number, name in enumerate(rows, 1):
            note = ablation.missing_frequencies(name)
            print(f"ablation: row {number} of {len(rows)}, {name}" + (f": {note}" if note else ""), flush=True)
            if note:
                missing[name] = note
            else:
                reports[name] = score_row(ablation, name, options, score=score)
            report = assemble(ablation, rows[:number], reports=reports, missing=missing, options=options)
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


def score_row(ablation: Ablation, name: str, options: AblationOptions, *, score: Score | None = None) -> dict:
    """A row's motion report, from its folder where that still holds, else computed after training."""
    from evaluation.tables.motion import evaluate_motion

    row = ROWS[name]
    folder = ablation.output / name
    checkpoint = Path(options.checkpoint)
    if row.method == "model":
        checkpoint = join_pipeline(folder / "pipeline", ablation.train(name), renderer_folder(options.checkpoint))
    shared = {option: getattr(options, option) for option in MOTION_OPTIONS}
    shared["renderer"] = row.renderer or options.renderer
    wanted = MotionOptions(methods=(row.method,), checkpoint=checkpoint, **shared)
    depends = dependencies(row.method, wanted)
    path = folder / SCORE_FILE
    stored = read_json(path)
    if stored.get("depends") == depends:
        return stored["report"]
    report = (score or evaluate_motion)(wanted)
    write_json(path, {"depends": depends, "report": report})
    return report


def dependencies(method: str, options: MotionOptions) -> dict:
    """Everything that a row's figures depend on: hashes of files, and options."""
    from evaluation.report.report import checkpoint_provenance, weights_provenance

    metrics = choose(of_table("motion"), options.metrics, "--metrics")
    networks = sorted({network for metric in metrics.values() for network in metric.weights})
    named = {option: getattr(options, option) for option in SCORE_OPTIONS}
    values = {
        "format_version": FORMAT_VERSION,
        "method": method,
        "manifest": file_sha256(Path(options.data) / "manifest.csv"),
        "checkpoint": checkpoint_provenance(options.checkpoint)["files"] if method == "model" else None,
        "weights": weights_provenance(networks, options.weights),
        "options": named | {"no_intervals": not options.intervals, "seed": options.seed},
    }
    return json.loads(json.dumps(values))  # as it will be read back


def renderer_folder(checkpoint: str | Path) -> Path:
    """The renderer's checkpoint folder of a pipeline."""
    from models.checkpoints import checkpoint_folders

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
    *,
    reports: Mapping[str, dict],
    missing: Mapping[str, str],
    options: AblationOptions,
) -> dict:
    """One report of all rows, in the form of the motion table's.

    Args:
        reports: the motion report of each row that was computed.
        missing: why each of the others was not.
    """
    from evaluation.report.report import checkpoint_provenance, data_provenance
    from evaluation.sequences import load_sequences
    from evaluation.tables.cells import ratios

    metrics = choose(of_table("motion"), options.metrics, "--metrics")
    sequences = load_sequences(ablation.data, options.split, options.max_sequences)
    result: dict = {part: {name: {} for name in rows} for part in ROW_PARTS}
    for name in rows:
        for part in ROW_PARTS:
            if name in reports:
                result[part][name] = reports[name][part][ROWS[name].method]
            elif part != "per_sequence":
                empty = {"notes": missing.get(name), "counts": 0}.get(part)
                result[part][name] = dict.fromkeys(metrics, empty)
    return {
        "format_version": FORMAT_VERSION,
        "kind": "ablation",
        "data": data_provenance(ablation.data, options.split, sequences=sequences),
        "checkpoint": checkpoint_provenance(options.checkpoint, ("frame_synthesis",)),
        "weights": {key: value for report in reports.values() for key, value in report["weights"].items()},
        "seed": options.seed,
        "protocol": protocol(ablation, rows, reports=reports, options=options),
        **result,
        "ratios": ratios(result["table"], result["intervals"], metrics=metrics),
        "curves": joined_curves(reports),
        "warnings": in_order(
            warning.replace(f" of {ROWS[name].method}:", f" of {name}:")
            for name, report in reports.items()
            for warning in report["warnings"]
        ),
        "timings": {name: sum(report["timings"].values()) for name, report in reports.items()},
    }


def joined_curves(reports: Mapping[str, dict]) -> dict[str, dict]:
    """The curves of all rows under the rows' names."""
    curves: dict[str, dict] = {}
    for name, report in reports.items():
        for metric, lines in report["curves"].items():
            if ROWS[name].method in lines:
                curves.setdefault(metric, {})[name] = lines[ROWS[name].method]
    return curves


def protocol(ablation: Ablation, rows: Sequence[str], *, reports: Mapping[str, dict], options: AblationOptions) -> dict:
    """How the figures came about, with each row's checkpoint."""
    shared = ("samples", "steps", "guidance", "num_frequencies", "renderer", "max_sequences")
    return {
        "preset": ablation.preset,
        "max_steps": ablation.max_steps,
        **{name: getattr(options, name) for name in shared},
        "rows": {
            name: {
                "options": " ".join(ROWS[name].options),
                "starts_from": ROWS[name].base,
                "renderer": ROWS[name].renderer or options.renderer,
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
    from evaluation.report.ablation_plot import ablation_plot

    write_json(output / "ablation.json", report)
    with temporary_path(output / "ablation.png") as temporary:
        temporary.write_bytes(ablation_plot(report))
