"""The motion table: distances between sets of generated and real videos, and measures of the motion itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from baselines.registry import METHODS, Method
from baselines.videos import videos
from common.command_line import select_device
from common.stopwatch import Stopwatch
from evaluation.groups import groups_of
from evaluation.metrics.collection import REAL, FeatureCollector, load_networks
from evaluation.metrics.distributions import distribution_metrics
from evaluation.metrics.diversity import Diversity
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, choose, in_order, of_kind, of_table
from evaluation.options import MotionOptions
from evaluation.prediction import Predict, Setting
from evaluation.report.motion_media import MotionMedia
from evaluation.report.report import checkpoint_provenance, data_provenance, folder_provenance, weights_provenance
from evaluation.sequences import EvaluationSequence, crop_size, load_sequences
from evaluation.tables.cells import group_tables
from evaluation.tables.motion_judge import MotionJudge, known_frequencies, needs_frames
from models.pipeline import ImageDynamicsPipeline


def evaluate_motion(
    options: MotionOptions,
    *,
    methods: Mapping[str, Method] = METHODS,
    metrics: Mapping[str, Metric] = METRICS,
    load: Callable[..., tuple[dict, dict[str, str]]] = load_networks,
) -> dict:
    """The report of ``evaluate.py motion``, whose fields docs/evaluation.md describes.

    Args:
        methods: those that the options choose from, by name.
        metrics: those that the options choose from, by name.
        load: gives the networks behind the metrics of sets.

    Raises:
        ValueError: one line: no such data, split, checkpoint or metric; a method without its checkpoint.
        FloatingPointError: the checkpoint gives motion that is not finite.
    """
    columns = choose(of_table("motion", metrics), options.metrics, "--metrics")
    clock = Stopwatch()
    device = select_device(options.device)
    sequences = load_sequences(options.data, options.split, options.max_sequences)
    groups = groups_of(options.groups, sequences)
    chosen = {name: methods[name] for name in options.methods}
    checkpoints = method_checkpoints(options.method_checkpoints, chosen)
    setting = make_setting(options, sequences, device, methods=chosen.values(), renders=needs_frames(columns))
    rows = make_rows(options, setting, methods=methods, checkpoints=checkpoints)
    with clock("loading weights"):
        sets = of_kind("sets", columns)
        networks, notes = load(sets, weights=options.weights, device=device)
        diversity = Diversity(of_kind("clips", columns), weights=options.weights, device=device)
        named = in_order(name for metric in columns.values() for name in metric.weights)
        weights = weights_provenance(named, options.weights)
    colors = {name: method.color for name, method in methods.items()}
    media = MotionMedia(sequences, colors=colors) if options.html or options.output else None
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of rendering
    judge = MotionJudge(setting, columns, FeatureCollector(networks, sets), diversity, clock, media, options.skip_photo)
    judge.run(rows)
    with clock("distances"):
        distances = distribution_metrics(judge.collector, list(rows), notes=notes, intervals=options.intervals)
    judged = judge.report(distances)
    report = {
        "format_version": 1,
        "kind": "motion",
        "data": data_provenance(options.data, options.split, sequences=sequences),
        "checkpoint": checkpoint_provenance(options.checkpoint, setting.parts) if setting.parts else None,
        **method_provenance(checkpoints),
        "weights": weights,
        "seed": options.seed,
        "protocol": protocol(options, setting),
        **judged,
        "groups": group_tables(groups, sequences, columns, scores=judge.scores, notes=judged["notes"]),
        "timings": clock.seconds,
    }
    if media is not None:
        with clock("clips and plots"):
            media.write(options.output, options.html, report=report)
    return report


def method_checkpoints(given: Sequence[tuple[str, Path]], methods: Mapping[str, Method]) -> dict[str, Path]:
    """Folder of each learned baseline's checkpoint by the method's name.

    Args:
        given: (method, folder) as ``--method-checkpoint`` gives them.
        methods: the rows of the table.

    Raises:
        ValueError: none for a method that needs one, one for a method that the table does not have or that takes none,
            two for one method, no such folder.
    """
    folders: dict[str, Path] = {}
    takers = [name for name, method in methods.items() if method.checkpoint]
    for name, folder in given:
        option = f"--method-checkpoint {name}={folder}"
        if name not in takers:
            expected = f"those that do: {', '.join(takers)}" if takers else "no method chosen takes one"
            raise ValueError(f"{option}: {name} is no method of --methods that takes a checkpoint ({expected})")
        if name in folders:
            raise ValueError(f"{option}: {name} has a checkpoint already, {folders[name]}; give one")
        if not folder.is_dir():
            raise ValueError(f"{option}: no such folder")
        folders[name] = folder
    for name in takers:
        methods[name].check(folders.get(name))
    return folders


def method_provenance(checkpoints: Mapping[str, Path]) -> dict:
    """Name and files of each learned baseline's checkpoint, where the table has any."""
    if not checkpoints:
        return {}
    return {"method_checkpoints": {name: folder_provenance(folder) for name, folder in checkpoints.items()}}


def make_setting(
    options: MotionOptions,
    sequences: Sequence[EvaluationSequence],
    device: torch.device,
    *,
    methods: Iterable[Method],
    renders: bool,
) -> Setting:
    """Load the parts of the checkpoint that the methods need, the renderer where it makes any of the videos."""
    methods = list(methods)
    parts = in_order(part for method in methods for part in method.parts)
    if renders and options.renderer == "model" and any(method.video == "rendered" for method in methods):
        parts.append("frame_synthesis")
    load = ImageDynamicsPipeline.from_pretrained
    return Setting(
        sequences,
        (load(options.checkpoint, parts) if parts else ImageDynamicsPipeline()).to(device),
        parts=tuple(parts),
        num_frequencies=options.num_frequencies,
        renderer=options.renderer,
        samples=options.samples,
        steps=options.steps,
        guidance=options.guidance,
        wind=options.wind,
        seed=options.seed,
    )


def make_rows(
    options: MotionOptions,
    setting: Setting,
    *,
    methods: Mapping[str, Method],
    checkpoints: Mapping[str, Path],
) -> dict[str, Predict]:
    """The table's rows by name: the methods chosen, then the folders of videos."""
    rows = {name: methods[name].make(setting, checkpoint=checkpoints.get(name)) for name in options.methods}
    for name, folder in options.videos:
        if name in methods or name in rows or name == REAL:
            raise ValueError(f"--videos {name}={folder}: there is a method of that name, choose another")
        rows[name] = videos(folder, setting)
    return rows


def protocol(options: MotionOptions, setting: Setting) -> dict:
    """How the figures were taken, in plain values."""
    values = {
        "crop": list(crop_size(setting.sequences[0].size)),
        "windows": "consecutive, without overlap" + (", from frame 1 on" if options.skip_photo else ""),
        "renderer": options.renderer,
        "num_frequencies": known_frequencies(setting),
        "max_sequences_per_source": options.max_sequences,
    }
    if "motion" not in setting.parts:
        return values
    sampling = {"samples": setting.samples, "steps": setting.used_steps(), "guidance": setting.used_guidance()}
    return values | sampling | ({} if setting.wind is None else {"wind": setting.wind})
