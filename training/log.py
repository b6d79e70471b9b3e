"""Logs of a training run: a CSV table, its plot, and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.files import temporary_path


class CsvLog:
    """A CSV table that training appends to; opening it again at a step drops the rows of steps that are redone."""

    def __init__(self, path: Path, columns: Iterable[str], step: int = 0) -> None:
        self.path = Path(path)
        self.columns = ["step", *columns]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = read_csv(self.path) if step and self.path.exists() else []
        # A process that was killed may have left half a line: its last values are missing.
        kept = [row for row in kept if None not in row.values() and int(row["step"]) <= step]
        with temporary_path(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add one row; columns without a value stay empty."""
        with self.path.open("a", newline="") as file:
            row = {"step": step, **{k: f"{v:.6g}" for k, v in values.items()}}
            csv.DictWriter(file, self.columns).writerow(row)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file as dictionaries."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def plot_log(log: Path, output: Path, columns: Iterable[str], logarithmic: bool = True) -> None:
    """Draw columns of a training log against the step, with a running mean over the thin raw line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_csv(log)
    figure = Figure(figsize=(8, 4.5))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.11, 0.89, 0.86))  # a layout that is computed takes longer than the drawing
    for column in columns:
        points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8)
        axes.plot(steps, _running_mean(values), color=line.get_color(), label=column)
    axes.set_xlabel("step")
    if logarithmic:
        axes.set_yscale("log")
    if axes.lines:
        axes.legend()
    with temporary_path(output) as temporary:
        figure.savefig(temporary, dpi=110)


def _running_mean(values: Iterable[float], memory: float = 0.95) -> list[float]:
    means: list[float] = []
    total = weight = 0.0
    for value in values:
        total, weight = memory * total + value, memory * weight + 1
        means.append(total / weight)
    return means


class TensorBoardLog:
    """Scalars and pictures for TensorBoard; opening it again at a step hides what later steps wrote before.

    Args:
        folder: where its files are: ``tensorboard --logdir`` takes this folder or one above it.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self._writer: Any = summary_writer()(str(folder), purge_step=step + 1)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Any) -> None:
        """Add a picture, uint8 ``[H, W, 3]``."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def summary_writer() -> Any:
    """TensorBoard's writer; `ValueError` where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("logging for TensorBoard needs its package: pip install tensorboard") from None
    return SummaryWriter
