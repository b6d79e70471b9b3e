"""The sampling table: what samplers and numbers of steps, and loop guidance, give for what they cost.

Every row samples the same photos with the same seeds; nothing is rendered. Beside the measures of the motion table
stand the Fréchet distance of the motion's windows (evaluation.metrics.motion_features), the loop seam of the motion
itself, the U-Net calls and the seconds a photo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from common.command_line import select_device
from common.files import write_text
from common.stopwatch import Stopwatch
from evaluation.groups import groups_of
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, choose, of_table
from evaluation.options import SamplingOptions
from evaluation.prediction import Setting
from evaluation.report.cost_plot import COST, cost_plot
from evaluation.report.media import Media
from evaluation.report.report import checkpoint_provenance, data_provenance, write_csv
from evaluation.sequences import load_sequences
from evaluation.tables.cells import group_tables
from evaluation.tables.sampling_cost import check_steps, estimate, format_estimate, make_rows
from evaluation.tables.sampling_judge import BASELINES, SamplingJudge
from models.pipeline import ImageDynamicsPipeline


def evaluate_sampling(
    options: SamplingOptions,
    *,
    metrics: Mapping[str, Metric] = METRICS,
    load: Callable[..., ImageDynamicsPipeline] = ImageDynamicsPipeline.from_pretrained,
) -> dict:
    """The report of ``evaluate.py sampling``, whose fields docs/evaluation.md describes.

    Args:
        metrics: those that the options choose from, by name.
        load: gives the pipeline of a checkpoint and the names of its parts.

    Raises:
        ValueError: one line: no such data, split or checkpoint; more steps than the model's schedule has.
        FloatingPointError: the checkpoint gives motion that is not finite.
    """
    columns = choose(of_table("sampling", metrics), options.metrics, "--metrics")
    clock = Stopwatch()
    device = select_device(options.device)
    sequences = load_sequences(options.data, options.split, options.max_sequences)
    groups = groups_of(options.groups, sequences)
    data = data_provenance(options.data, options.split, sequences=sequences)
    rows = make_rows(options.samplers, options.loop_guidance, options.recurrence)
    with clock("loading weights"):
        pipeline = load(options.checkpoint, ["motion"]).to(device)
        checkpoint = checkpoint_provenance(options.checkpoint, ["motion"])  # now: hours later it may be another
    check_steps(rows, pipeline.motion_config.train_steps)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of sampling
    setting = Setting(
        sequences,
        pipeline,
        parts=("motion",),
        num_frequencies=options.num_frequencies,
        samples=options.samples,
        guidance=options.guidance,
        seed=options.seed,
    )
    judge = SamplingJudge(setting, columns)
    with clock("estimating the cost"):
        costs = estimate(rows, setting)
    print(format_estimate(costs, samples=options.samples * len(sequences)), flush=True)
    done = judge.run(rows, costs, clock)
    judged = judge.report([*map(str, done), *BASELINES], intervals=options.intervals)
    report = {
        "format_version": 1,
        "kind": "sampling",
        "data": data,
        "checkpoint": checkpoint,
        "weights": {},
        "seed": options.seed,
        "protocol": {
            "samples": setting.samples,
            "guidance": setting.used_guidance(),
            "num_frequencies": judge.num_frequencies,
            "max_sequences_per_source": options.max_sequences,
            "device": device.type,
        },
        "rows": {str(row): asdict(row) for row in done},
        **judged,
        "groups": group_tables(groups, sequences, columns, scores=judge.scores, notes=judged["notes"]),
        "timings": clock.seconds,
    }
    write_media(options, report)
    return report


def write_media(options: SamplingOptions, report: Mapping) -> None:
    """``per_sequence.csv`` and the plot of quality against cost into ``--output``; the page of ``--html``."""
    plot = cost_plot(report)
    if options.output:
        write_csv(options.output / "per_sequence.csv", report)
        if plot:
            write_text(options.output / "cost.svg", plot)
    if options.html:
        from evaluation.report.html import write_html

        caption = f"Each measure against the {COST} of a photo, one line a sampler; dotted: the measured motion."
        write_html(options.html, report, media=Media(plots=[(caption, plot)] if plot else []))
