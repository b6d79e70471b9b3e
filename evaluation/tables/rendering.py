"""The rendering table: real frames, rendered from the first one and the measured flow, beside what needs no network.

The protocol of the published comparison of renderers (sequences of 150 frames at 256x160 and 30 frames a second): every
later frame t is rendered from frame 0 and the flow from frame 0 to frame t, and compared with the real frame t after
rounding to the 8 bits that a viewer gets. A figure is each sequence's mean over its frames, then the mean over
sequences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from common.command_line import select_device
from common.stopwatch import Stopwatch
from evaluation.metrics.distances import bootstrap_interval
from evaluation.metrics.registry import chosen
from evaluation.report.comparison_video import Comparison, add_comparison, extremes, write_comparison
from evaluation.report.media import Media
from evaluation.report.report import checkpoint_provenance, data_provenance, weights_provenance, write_csv
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.rendering_scores import (
    COLORS,
    METRICS,
    ROWS,
    Distance,
    RenderingTable,
    Scores,
    read_sequence_frames,
)
from models.pipeline import ImageDynamicsPipeline
from models.rendering.model import FrameSynthesisModel

COMPARED_ROWS = ("model", "average-splatting", "remap")  # shown beside the original in videos
STORED_FPS = 3.0  # of a video of frames that do not follow each other
NOT_CONSECUTIVE = "not computed: stored samples do not follow each other, use --frames all"
NOTHING_CHANGES = "not computed: the real frames do not change along the flow"
PUBLISHED: dict[str, Any] = {"size": [256, 160], "fps": 30, "num_frames": 150}


def evaluate_rendering(arguments: argparse.Namespace) -> dict:
    """The report of ``evaluate.py rendering``, whose fields docs/evaluation.md describes.

    With ``arguments.output`` that folder gets ``per_sequence.csv`` and the videos of
    :func:`evaluation.report.comparison_video.write_comparison`, with ``arguments.html`` a page is written.

    Raises:
        ValueError: one line: no such data, split, checkpoint or row; flow that is not finite.
        FloatingPointError: the checkpoint renders frames that are not finite.
    """
    clock = Stopwatch()
    device = select_device(arguments.device)
    rows = chosen(arguments.rows, ROWS, "--rows")
    sequences = load_sequences(arguments.data, arguments.split, arguments.max_sequences)
    data = data_provenance(arguments.data, arguments.split, sequences)
    with clock("loading weights"):
        distance, note = load_distance(arguments.weights, device)
        model = load_model(arguments.checkpoint, device) if "model" in rows else None
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of rendering
    table = RenderingTable(rows, model, distance, device, arguments.frames == "stored")
    table.run(sequences)
    notes = {"lpips": note, "flicker": NOT_CONSECUTIVE if table.stored else NOTHING_CHANGES}
    settings = protocol(data, arguments.frames, table.rendered_frames)
    report = {
        "format_version": 1,
        "kind": "rendering",
        "data": data,
        "checkpoint": checkpoint_provenance(arguments.checkpoint, ["frame_synthesis"]) if model else None,
        "weights": weights_provenance(["lpips_alexnet"], arguments.weights),
        "seed": arguments.seed,
        "protocol": settings,
        **summary(table.scores, {sequence.id: sequence.source for sequence in sequences}, notes, arguments.seed),
        "warnings": warnings(data, settings["as_published"]),
    }
    parts = dict(table.clock.seconds)  # now: the videos are rendered once more
    with clock("csv, videos and page"):
        write_media(arguments, report, comparisons(sequences, table))
    a_sequence = {part: seconds / len(sequences) for part, seconds in parts.items()}
    report["timings"] = {**clock.seconds, **parts, "seconds_per_sequence": a_sequence}
    return report


def load_model(checkpoint: str | Path, device: torch.device) -> FrameSynthesisModel:
    """The renderer of a checkpoint, computing in float32 wherever it runs, so that all machines find the same."""
    model = ImageDynamicsPipeline.from_pretrained(checkpoint, parts=("frame_synthesis",)).to(device).frame_synthesis
    assert model is not None
    model.precision = "float32"
    return model


def load_distance(weights: Path | None, device: torch.device) -> tuple[Distance | None, str | None]:
    """LPIPS (AlexNet), or why there is none."""
    from evaluation.networks.feature_networks import load_lpips
    from evaluation.networks.weights import MissingWeightsError

    try:
        return load_lpips("alex", weights, device), None
    except MissingWeightsError as error:
        return None, f"not computed: {error}"


def summary(
    scores: Mapping[str, Mapping[str, Scores]], sources: Mapping[str, str], notes: Mapping[str, str | None], seed: int
) -> dict:
    """Table, intervals, counts of sequences, notes and the values of each sequence.

    Args:
        scores: ``{row: {sequence: {metric: value}}}``.
        sources: the video of each sequence; the bootstrap resamples videos, because those of one are alike.
        notes: by metric, why it is missing where it is.
    """
    parts: dict[str, dict[str, dict]] = {name: {} for name in ("table", "intervals", "counts", "notes")}
    for row, sequences in scores.items():
        for part in parts.values():
            part[row] = {}
        for metric in METRICS:
            known = {name: v for name, v in ((name, row[metric]) for name, row in sequences.items()) if v is not None}
            values = list(known.values())
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


def write_media(arguments: argparse.Namespace, report: dict, compared: Iterator[Comparison]) -> None:
    """The CSV and the videos of ``--output``, the page of ``--html``."""
    output, page = arguments.output, getattr(arguments, "html", None)
    media = Media(colors=COLORS)
    for comparison in compared if output or page else ():
        if output:
            write_comparison(output, comparison)
        if page:
            add_comparison(media, comparison)
    if output:
        write_csv(output / "per_sequence.csv", report)
    if page:
        from evaluation.report.html import write_html

        write_html(page, report, media)
