"""``python -m data.prepare report DATASET``: one page that shows what is in a dataset folder, and what was dropped.

Counts, rejections with their numbers, histograms of the motion statistics, pictures of the worst, the best and some
random sequences, and the paper's Fig. 2 of this data. Memory does not grow with the number of sequences but for the
numbers of their statistics; of large folders a random sample is measured, which the page says.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from common.command_line import OneLineParser, run_script, write_report
from common.option_types import count, parse_seed
from common.output_paths import check_paths
from common.page import write_page
from data.dataset.folder import read_parameters
from data.dataset.manifest import iterate_manifest, load_statistics
from data.report.page import Contents, dataset_page
from data.report.spectra import measure_spectra
from data.report.summary import Summary, summarize

MOST_MEASURED = 400  # sequences whose spectral volumes are read
EXAMPLES = """examples:
  python -m data.prepare report dataset
  python -m data.prepare report dataset --output page.html --sequences 8 --report page.json
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.prepare report``."""
    parser = OneLineParser(
        prog="python -m data.prepare report",
        description="Write a page about a dataset folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="dataset folder, made by data.prepare or data.synthetic")
    add("--output", type=Path, metavar="PAGE.html", help="page to write (default: report.html in the folder)")
    add(
        "--sequences",
        type=count,
        default=4,
        metavar="N",
        help="show the N worst, the N best and N random sequences (default: 4)",
    )
    add(
        "--seed",
        type=parse_seed,
        default=0,
        help="seed for the choice of random and of measured sequences (default: 0)",
    )
    add("--report", type=Path, metavar="FILE.json", help="write the page's numbers, versions and timings")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(write_dataset_report, build_parser().parse_args(argv))


def write_dataset_report(arguments: argparse.Namespace) -> None:
    """Write the page that the command line describes."""
    folder: Path = arguments.dataset
    output: Path = arguments.output or folder / "report.html"
    check_paths(inputs=[folder], files=[output, arguments.report])
    results = write_dataset_page(folder, output, shown=arguments.sequences, seed=arguments.seed)
    write_report(arguments.report, "data.prepare report", arguments, results)


def write_dataset_page(
    folder: Path, output: Path, *, shown: int, seed: int, most_measured: int = MOST_MEASURED
) -> dict[str, Any]:
    """Write a page about a dataset folder; returns its timings and numbers.

    Args:
        shown: sequences to show of the worst, of the best and at random.
        seed: draws the random sequences, and those that are measured.
        most_measured: sequences whose spectral volumes are read.

    Raises:
        ValueError: no dataset folder, or one that lacks a file.
    """
    from tqdm import tqdm

    started = time.perf_counter()
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; make the dataset with python -m data.prepare")
    # A folder whose sequences were all dropped has no statistics; the page then shows why.
    statistics = load_statistics(folder) if (folder / "stats.json").is_file() else None
    split = statistics.get("split") if statistics else None
    of_split = split if split != "all" else None
    summary = summarize(iterate_manifest(folder), shown=shown, sampled=most_measured, seed=seed, split=of_split)
    if not summary.sequences and not summary.rejected_rows:
        raise ValueError(f"{folder / 'manifest.csv'}: has no rows; run data.prepare again with the same output folder")
    if summary.total("kept") and statistics is None:
        raise ValueError(f"{folder / 'stats.json'}: no such file; run data.prepare again with the same output folder")
    listed = time.perf_counter()
    spectra, sample = None, summary.sample.rows()
    if statistics is not None and sample:
        with tqdm(total=len(sample), unit=" sequences", dynamic_ncols=True, leave=False) as progress:
            spectra = measure_spectra(
                folder, sample, num_frequencies=statistics["num_frequencies"], progress=progress.update
            )
    measured = time.perf_counter()
    contents = Contents(folder, summary, statistics, read_parameters(folder), spectra, len(sample), seed)
    numbers = {"dataset": folder.absolute().name, **report_numbers(summary), **contents.numbers()}
    write_page(output, dataset_page(contents, numbers))
    timings = {"manifest": listed - started, "spectra": measured - listed, "page": time.perf_counter() - measured}
    print(
        f"{output}: {summary.total('kept')} sequences kept, {summary.total('dropped')} dropped, "
        f"{output.stat().st_size / 1e6:.1f} MB"
    )
    return {"timings_seconds": timings, "results": numbers}


def report_numbers(summary: Summary) -> dict[str, Any]:
    """Counts of a manifest for ``--report`` and for the page's JSON."""
    return {
        "sequences": [
            {
                "split": split,
                "status": status,
                "sequences": number,
                "videos": len(summary.videos[split, status]),
                "seconds": round(summary.seconds[split, status], 3),
            }
            for (split, status), number in sorted(summary.sequences.items())
        ],
        "shots": len(summary.shots) or None,
        "unusable_videos": len(summary.unusable),
        "estimators": dict(summary.estimators),
        "rejections": [
            {"reason": found.reason, "sequences": found.sequences, "videos": len(found.videos)}
            for found in summary.rejections
        ],
    }
