"""What all commands that train do around the training: they check paths, read the run, report, and say where it is."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from common.command_line import select_device, write_report
from common.output_paths import check_paths
from models.choices import resolve


def train_and_report(
    arguments: argparse.Namespace,
    read_run: Callable[[argparse.Namespace], Any],
    *,
    script: str,
    inputs: Iterable[Path | None],
    folders: Iterable[Path | None] = (),
    train: str,
    result: str,
) -> None:
    """Train what a command line asks for.

    Args:
        arguments: with ``output``, ``report`` and ``device``.
        read_run: the run that they mean; refuses what makes no sense before torch is imported.
        script: name in the report.
        inputs: files and folders that are read.
        folders: folders that are written to beside ``output``.
        train: ``"package.module:function"`` of a run and a device, which returns a report's results, or None in
            processes that are not the main one.
        result: line that says at the end what is where.
    """
    started = time.monotonic()
    check_paths(inputs=inputs, files=[arguments.report], folders=[arguments.output, *folders])
    run = read_run(arguments)
    results = resolve(train)(run, select_device(arguments.device))
    if results is None:
        return
    write_report(arguments.report, script, arguments, {**results, "seconds": round(time.monotonic() - started, 1)})
    print(result)
