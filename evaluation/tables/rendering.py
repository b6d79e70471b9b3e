"""The rendering table: real frames, rendered from the first one and the measured flow, beside what needs no network.

The protocol of the published comparison of renderers (sequences of 150 frames at 256x160 and 30 frames a second): every
later frame t is rendered from frame 0 and the flow from frame 0 to frame t, and compared with the real frame t after
rounding to the 8 bits that a viewer gets. A figure is each sequence's mean over its frames, then the mean over
sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from common.command_line import select_device
from common.stopwatch import Stopwatch
from data.media.sheets import expect_moviepy
from evaluation.groups import groups_of
from evaluation.metrics.distances import bootstrap_interval
from evaluation.metrics.image import Distance, FrameMeasure, lpips_of_rows
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, chosen, in_order, of_kind, of_table
from evaluation.options import RenderingOptions
from evaluation.report.comparison_video import Comparison, add_comparison, extremes, write_comparison
from evaluation.report.media import Media
from evaluation.report.report import checkpoint_provenance, data_provenance, weights_provenance, write_csv
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.cells import PARTS, group_tables
from evaluation.tables.rendering_rows import ROWS
from evaluation.tables.rendering_scores import LPIPS, RenderingTable, Scores, read_sequence_frames
from models.pipeline import ImageDynamicsPipeline
from models.rendering.model import FrameSynthesisModel

COMPARED_ROWS = ("model", "average-splatting", "remap")  # shown beside the original in videos
STORED_FPS = 3.0  # of a video of frames that do not follow each other
NOT_CONSECUTIVE = "not computed: stored samples do not follow each other, use --frames all"
PUBLISHED: dict[str, Any] = {"size": [256, 160], "fps": 30, "num_frames": 150}


def evaluate_rendering(
    options: RenderingOptions, *, metrics: Mapping[str, Metric] = METRICS, distance: Distance | None = None
) -> dict:
    """The report of ``evaluate.py rendering``, whose fields docs/evaluation.md describes.

    With ``options.output`` that folder gets ``per_sequence.csv`` and the videos of
    :func:`evaluation.report.comparison_video.write_comparison`, with ``options.html`` a page is written.

    Args:
        metrics: those that the table takes its columns from, by name.
        distance: stands in for LPIPS, whose weights are not looked for then.

    Raises:
        ValueError: one line: no such data, split, checkpoint or row; flow that is not finite.
        FloatingPointError: the checkpoint renders frames that are not finite.
    """
    clock = Stopwatch()
    device = select_device(options.device)
    rows = chosen(options.rows, ROWS, "--rows")
    sequences = load_sequences(options.data, options.split, options.max_sequences)
    groups = groups_of(options.groups, sequences)
    data = data_provenance(options.data, options.split, sequences=sequences)
    columns = of_table("rendering", metrics)
    with clock("loading weights"):
        measures, notes = load_measures(columns, weights=options.weights, device=device, distance=distance)
        model = load_model(options.checkpoint, device) if "model" in rows else None
    if options.output is not None or options.html is not None:
        expect_moviepy()
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of rendering
    stored = options.frames == "stored"
    table = RenderingTable(rows, model=model, measures=measures, device=device, stored=stored, metrics=columns)
    table.run(sequences)
    settings = protocol(data, options.frames, table.rendered_frames)
    notes = empty_notes(columns, stored) | notes
    named = in_order(name for metric in columns.values() for name in metric.weights)
    sources = {sequence.id: sequence.source for sequence in sequences}
    judged = summary(table.scores, columns, sources=sources, notes=notes, seed=options.seed)
    report = {
        "format_version": 1,
        "kind": "rendering",
        "data": data,
        "checkpoint": checkpoint_provenance(options.checkpoint, ["frame_synthesis"]) if model else None,
        "weights": weights_provenance(named, options.weights),
        "seed": options.seed,
        "protocol": settings,
        **judged,
        "groups": group_tables(groups, sequences, columns, scores=table.scores, notes=judged["notes"]),
        "warnings": warnings(data, settings["as_published"]),
    }
    parts = dict(table.clock.seconds)  # now: the videos are rendered once more
    with clock("csv, videos and page"):
        write_media(options, report, comparisons(sequences, table))
    a_sequence = {part: seconds / len(sequences) for part, seconds in parts.items()}
    report["timings"] = {**clock.seconds, **parts, "seconds_per_sequence": a_sequence}
    return report


def load_model(checkpoint: str | Path, device: torch.device) -> FrameSynthesisModel:
    """The renderer of a checkpoint, computing in float32 wherever it runs, so that all machines find the same."""
    model = ImageDynamicsPipeline.from_pretrained(checkpoint, parts=("frame_synthesis",)).to(device).frame_synthesis
    assert model is not None
    model.precision = "float32"
    return model


def load_measures(
    metrics: Mapping[str, Metric], *, weights: Path | None, device: torch.device, distance: Distance | None = None
) -> tuple[dict[str, FrameMeasure], dict[str, str]]:
    """What measures frames, by metric, and for each metric without weights the note that says so."""
    from evaluation.networks.weights import MissingWeightsError

    measures: dict[str, FrameMeasure] = {}
    notes: dict[str, str] = {}
    for name, metric in of_kind("frames", metrics).items():
        if name == LPIPS and distance is not None:
            measures[name] = lpips_of_rows(distance)
            continue
        try:
            measures[name] = metric.function(weights=weights, device=device)
        except MissingWeightsError as error:
            notes[name] = f"not computed: {error}"
    return measures, notes


def empty_notes(metrics: Mapping[str, Metric], stored: bool) -> dict[str, str]:
    """Why metrics of consecutive frames are missing where they are."""
    return {
        name: NOT_CONSECUTIVE if stored else metric.missing for name, metric in of_kind("steadiness", metrics).items()
    }


def summary(
    scores: Mapping[str, Mapping[str, Scores]],
    metrics: Iterable[str],
    *,
    sources: Mapping[str, str],
    notes: Mapping[str, str],
    seed: int,
) -> dict:
    """Table, intervals, counts of sequences, notes and the values of each sequence.

    Args:
        scores: ``{row: {sequence: {metric: value}}}``.
        metrics: names of the columns.
        sources: the video of each sequence; the bootstrap resamples videos, because those of one are alike.
        notes: by metric, why it is missing where it is.
    """
    parts: dict[str, dict[str, dict]] = {part: {row: {} for row in scores} for part in PARTS}
    for row, sequences in scores.items():
        for metric in metrics:
            known = {name: values[metric] for name, values in sequences.items() if values.get(metric) is not None}
            values = [value for value in known.values() if value is not None]
            interval = bootstrap_interval(values, seed=seed, sources=[sources[name] for name in known])
            parts["table"][row][metric] = fmean(values) if values else None
            parts["intervals"][row][metric] = list(interval) if interval else None
            parts["counts"][row][metric] = len(values)
            if not values and notes.get(metric):
                parts["notes"][row][metric] = notes[metric]
    return parts | {"per_sequence": scores}


def protocol(data: Mapping, frames: str, rendered_frames: int) -> dict:
    """How the figures were taken, in plain values, and whether that is how the published ones were."""
    return {
        "frames": frames,
        "rendered_frames": rendered_frames,
        "rendered_from": "frame 0 and the measured flow from frame 0 to frame t",
        "importance": "mean over time of the displacement's magnitude",
        "precision": "float32, frames rounded to 8 bits",
        "psnr": "a mean squared error of at least 0.001: a perfect frame has 78.13 dB",
        "ssim": "Gaussian windows, 11 pixels, sigma 1.5, values in [0, 1]",
        "lpips": "AlexNet, version 0.1, at the frames' size",
        "sharpness": "standard deviation of the Laplacian of the grey frame, over that of the real frame",
        "flicker": "change between neighbouring frames along the measured flow, over that of the real frames",
        "published": PUBLISHED,
        "as_published": {
            "size": data["size"] == PUBLISHED["size"],
            "fps": all(abs(fps - PUBLISHED["fps"]) < 0.1 for fps in data["fps"]),  # 29.97 is called 30
            "num_frames": set(data["num_frames"]) == {PUBLISHED["num_frames"]} and frames == "all",
        },
    }


def warnings(data: Mapping, matches: Mapping[str, bool]) -> list[str]:
    """What a reader of the table has to know."""
    lines = []
    if data["sources"] < data["sequences"]:
        lines.append(
            f"the {data['sequences']} sequences come from {data['sources']} videos, and those of one video are alike: "
            "intervals are over videos"
        )
    different = [name.replace("num_frames", "frames") for name, same in matches.items() if not same]
    if different:
        lines.append(f"not the published protocol (256x160, 30 fps, 150 frames) in {', '.join(different)}")
    return lines


def comparisons(sequences: Sequence[EvaluationSequence], table: RenderingTable) -> Iterator[Comparison]:
    """The worst, the median and the best sequence of the first row by LPIPS, or by PSNR where there is none."""
    metric, quality = judge(table.scores[table.rows[0]])
    by_id = {sequence.id: sequence for sequence in sequences}
    for name, identifier in extremes(quality).items():
        sequence = by_id[identifier]
        frames = read_sequence_frames(sequence, table.stored)
        rows = [row for row in COMPARED_ROWS if row in table.rows]
        batches = list(table.render(sequence, frames, rows)) if rows else []
        videos = {"original": frames.targets, **{row: torch.cat([b[row].cpu() for b in batches]) for row in rows}}
        videos["source"] = frames.source.expand_as(frames.targets)
        labels = {row: label(row, table.scores[row][identifier]) for row in rows}
        start = frames.source[None]
        yield Comparison(
            name,
            f"{name} sequence of {table.rows[0]} by {metric.upper()}: {identifier}",
            {labels.get(row, row): torch.cat([start, video]) for row, video in videos.items()},
            sequence.fps if not table.stored else STORED_FPS,
            int(frames.importance[0, 0].mean(dim=1).argmax()),
        )


def judge(scores: Mapping[str, Scores]) -> tuple[str, dict[str, float]]:
    """The metric that sequences are ordered by, and how good each one is: LPIPS is a distance, PSNR is not."""
    distances = {name: values["lpips"] for name, values in scores.items()}
    if None in distances.values():
        return "psnr", {name: values["psnr"] or 0.0 for name, values in scores.items()}
    return "lpips", {name: -(value or 0.0) for name, value in distances.items()}


def label(row: str, scores: Scores) -> str:
    """What stands over a row's video: its name and the sequence's figures."""
    lpips = "" if scores["lpips"] is None else f"  {scores['lpips']:.4f}"
    return f"{row}  {scores['psnr']:.2f} dB{lpips}"


def write_media(options: RenderingOptions, report: dict, compared: Iterator[Comparison]) -> None:
    """The CSV and the videos of ``--output``, the page of ``--html``."""
    output, page = options.output, options.html
    media = Media(colors={name: row.color for name, row in ROWS.items()})
    for comparison in compared if output or page else ():
        if output:
            write_comparison(output, comparison)
        if page:
            add_comparison(media, comparison)
    if output:
        write_csv(output / "per_sequence.csv", report)
    if page:
        from evaluation.report.html import write_html

        write_html(page, report, media=media)
