"""The look of all plots on pages: SVG, small labels, few lines, and one palette."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

# The palette of Okabe and Ito, whose colours people with any colour vision tell apart, without its yellow: too light.
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7"
GRAY, BLACK, BROWN, VIOLET = "#767676", "#000000", "#8c6d31", "#7b3294"  # beside it, for more lines than it has colours
FAINT = "#999999"  # reference lines and cells without a figure

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
