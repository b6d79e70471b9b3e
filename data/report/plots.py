"""Plots of a dataset as SVG: histograms of its statistics, its power spectrum, its coefficients before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.plots import clean_axes, plain_log_scale, save_svg, svg_figure
from data.report.spectra import Spectra, absolute_quantile, density, normalized_values
from models.spectral_volume import SpectralNormalizer

KEPT, DROPPED = "#0072b2", "#e69f00"  # of Okabe and Ito, which people with any colour vision tell apart
X, Y = "#0072b2", "#d55e00"
FREQUENCY_COLORS = ("#440154", "#31688e", "#35b779", "#d8a400")  # dark to light with the frequency
BINS = 40
COEFFICIENT_BINS = 160


def statistic_plot(values: Mapping[str, Sequence[float]], label: str, logarithmic: bool) -> str:
    """Histogram of a statistic of the motion, dropped sequences on top of kept ones.

    Args:
        values: status -> a value of each sequence.
        logarithmic: for values that span orders of magnitude; what is below a thousandth of the largest, zero also, is
            counted there.
    """
    groups = {status: np.asarray(values.get(status, ()), np.float64) for status in ("kept", "dropped")}
    groups = {status: group[np.isfinite(group)] for status, group in groups.items()}
    together = np.concatenate(list(groups.values()))
    low, high = (float(together.min()), float(together.max())) if len(together) else (0.0, 1.0)
    if logarithmic and high > 0:
        low = max(low, high / 1000)
        edges = np.geomspace(low, high, BINS + 1) if low < high else np.array([high / 1.1, high * 1.1])
        groups = {status: np.maximum(group, edges[0]) for status, group in groups.items()}
    else:
        edges = np.linspace(low, high, BINS + 1) if low < high else np.array([low - 0.5, low + 0.5])
    with svg_figure(3.6, 2.3) as (figure, buffer):
        axes = figure.subplots()
        shown = [status for status, group in groups.items() if len(group)]
        colors = {"kept": KEPT, "dropped": DROPPED}
        shown_values = [groups[name].clip(edges[0], edges[-1]) for name in shown]
        labels = [f"{name} ({len(groups[name]):,})" for name in shown]
        axes.hist(shown_values, edges, stacked=True, color=[colors[name] for name in shown], label=labels)
        if logarithmic and high > 0:
            axes.set_xscale("log")
            plain_log_scale(axes.xaxis)
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel("sequences", fontsize=8)
        if len(shown) > 1:
            axes.legend(frameon=False, fontsize=8)
        clean_axes(axes, "y")
        return save_svg(figure, buffer)


def spectrum_plot(spectra: Spectra) -> str:
    """Average amplitude of the spectral volume by frequency, x and y (the paper's Fig. 2 left).

    Lines are means over all pixels of all sequences, bands hold the middle 80 % of the sequences' own means.
    """
    with svg_figure(5.4, 3.6) as (figure, buffer):
        axes = figure.subplots()
        for axis, (name, color) in enumerate((("x", X), ("y", Y))):
            mean = spectra.amplitude[..., axis].mean(axis=0)
            low, high = np.quantile(spectra.amplitude[..., axis], (0.1, 0.9), axis=0)
            floor = max(float(mean.max()), 1e-9) * 1e-4  # zero has no place on a log axis
            low, mean, high = (np.maximum(values, floor) for values in (low, mean, high))
            axes.fill_between(spectra.hertz, low, high, color=color, alpha=0.13, linewidth=0)
            axes.plot(spectra.hertz, mean, "o-", color=color, markersize=3, linewidth=1.6, label=name)
        axes.set_yscale("log")
        plain_log_scale(axes.yaxis)
        axes.set_xlabel("frequency (Hz)")
        axes.set_ylabel("mean amplitude |S| (pixels)")
        axes.legend(frameon=False)
        clean_axes(axes, "y")
        return save_svg(figure, buffer)


def shown_frequencies(num_frequencies: int) -> list[int]:
    """Up to four of K frequencies, spread over all but the mean displacement."""
    if num_frequencies == 1:
        return [0]
    return sorted(set(np.linspace(1, num_frequencies - 1, 4).round().astype(int).tolist()))


def coefficient_plots(spectra: Spectra, normalizer: SpectralNormalizer) -> tuple[str, str]:
    """Densities of the coefficients of a few frequencies before and after normalisation (the paper's Fig. 2 right)."""
    values = spectra.coefficients()
    frequencies = shown_frequencies(len(spectra.hertz))
    widest = max(absolute_quantile(values, spectra.counts[k], 0.99) for k in frequencies)
    reach = max(widest, 1e-6)
    before = dict.fromkeys(frequencies, values)
    after = {k: normalized_values(normalizer, values, k) for k in frequencies}
    return (
        _density_plot(spectra, before, np.linspace(-reach, reach, COEFFICIENT_BINS + 1), "coefficient (pixels)"),
        _density_plot(spectra, after, np.linspace(-2, 2, COEFFICIENT_BINS + 1), "normalised coefficient"),
    )


def _density_plot(spectra: Spectra, values: Mapping[int, np.ndarray], edges: np.ndarray, label: str) -> str:
    with svg_figure(4.4, 3.2) as (figure, buffer):
        axes: Any = figure.subplots()
        for (frequency, places), color in zip(values.items(), FREQUENCY_COLORS, strict=False):
            heights = density(places, spectra.counts[frequency], edges)
            axes.stairs(heights, edges, color=color, linewidth=1.3, label=f"{spectra.hertz[frequency]:.2g} Hz")
        axes.set_yscale("log")
        plain_log_scale(axes.yaxis)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(label)
        axes.set_ylabel("density")
        axes.legend(frameon=False, fontsize=8, loc="upper right")
        clean_axes(axes, "y")
        return save_svg(figure, buffer)
