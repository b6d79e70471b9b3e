"""What all plots on pages look like: SVG, small labels, few lines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

STYLE = {"text.parse_math": False, "svg.hashsalt": "report", "svg.fonttype": "path", "font.size": 9}


@contextmanager
def svg_figure(width: float, height: float) -> Iterator[tuple[Any, StringIO]]:
    """A matplotlib figure of so many inches, and the text buffer for :func:`save_svg`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*Glyph .* missing from")  # of names in other scripts
        yield Figure(figsize=(width, height), layout="constrained"), StringIO()


def save_svg(figure: Any, buffer: StringIO) -> str:
    """The figure as SVG, the same bytes for the same figure."""
    figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None})
    return buffer.getvalue()


def plain_log_scale(axis: Any) -> None:
    """Figures such as 0.01 at the ticks of a logarithmic axis; matplotlib's powers of ten need what STYLE turns off."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def clean_axes(axes: Any, grid: str = "x") -> None:
    """No box around, faint lines across ``grid``, small figures."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=8)
