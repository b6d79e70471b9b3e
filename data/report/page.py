"""The page about a dataset folder, made from its counts and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from common.command_line import package_versions
from common.page import figure, html_page, html_table, image, listing, section
from data.report.pictures import sequence_pictures
from data.report.plots import coefficient_plots, spectrum_plot, statistic_plot
from data.report.spectra import Spectra, normalized_values, share_outside
from data.report.summary import Row, Summary
from data.report.tables import LABELS, counts_section, in_unit, kept_videos, notes_list, plural, rejections_section
from models.spectral_volume import SpectralNormalizer

QUANTILES = (("lowest", 0.0), ("5 %", 0.05), ("median", 0.5), ("95 %", 0.95), ("highest", 1.0))
RANKING = {
    "consistency": ("Least consistent flow", "Most consistent flow", "forward-backward consistency"),
    "rms_amplitude": ("Least motion", "Most motion", "rms amplitude, as the manifest has no consistency"),
}
MANY_FREQUENCIES_DIFFER = 0.02  # relative difference of the sequences' frequencies that the page mentions


@dataclass(frozen=True)
class Contents:
    """What a page is made from."""

    folder: Path
    summary: Summary
    statistics: dict[str, Any] | None  # stats.json
    parameters: dict[str, Any]  # parameters.json
    spectra: Spectra | None
    measured: int  # number of sequences whose spectra were measured
    seed: int

    @cached_property
    def normalizer(self) -> SpectralNormalizer | None:
        """The paper's normalisation by the folder's own statistics."""
        if self.statistics is None or self.spectra is None:
            return None
        return SpectralNormalizer.from_statistics("adaptive", self.statistics, len(self.spectra.hertz))

    @cached_property
    def outside(self) -> list[float]:
        """Share of each frequency's normalised coefficients outside [-1, 1]."""
        if self.normalizer is None or self.spectra is None:
            return []
        values = self.spectra.coefficients()
        return [
            share_outside(normalized_values(self.normalizer, values, k), counts)
            for k, counts in enumerate(self.spectra.counts)
        ]

    def quantiles(self) -> dict[str, list[float]]:
        """QUANTILES of the statistics of the kept sequences."""
        kept = {name: np.asarray(values["kept"]) for name, values in self.summary.statistics.items() if values["kept"]}
        fractions = [fraction for _, fraction in QUANTILES]
        return {name: np.quantile(values, fractions).tolist() for name, values in kept.items()}

    def numbers(self) -> dict[str, Any]:
        """The measurements as plain values, for JSON."""
        values: dict[str, Any] = {"quantiles": self.quantiles()}
        if self.spectra is not None:
            mean = self.spectra.amplitude.mean(axis=0).astype(float)
            values |= {"measured_sequences": self.measured, "hertz": self.spectra.hertz.tolist()}
            values |= {"amplitude_x": mean[:, 0].tolist(), "amplitude_y": mean[:, 1].tolist()}
            values["share_outside"] = self.outside
        return values


def dataset_page(contents: Contents, numbers: dict[str, Any]) -> str:
    """The page as HTML, with ``numbers`` in it as JSON."""
    sections = [
        counts_section(contents.summary),
        rejections_section(contents.summary),
        _statistics(contents),
        _sheets(contents),
        _spectrum(contents),
        _coefficients(contents),
        _provenance(contents),
    ]
    return html_page(f"Dataset: {contents.folder.absolute().name}", _headline(contents), sections, numbers)


def _headline(contents: Contents) -> str:
    summary = contents.summary
    kept = f"{summary.total('kept'):,} sequences kept from {plural(kept_videos(summary), 'video')}"
    parts = [f"{kept}, {summary.total('dropped'):,} dropped"]
    if contents.statistics:
        width, height = contents.statistics["size"]
        known = contents.statistics
        parts.append(f"{width}x{height}, {known['num_frames']} frames at {known['fps']:g} frames a second")
        parts.append(f"{known['num_frequencies']} frequencies")
    parts.append("flow: " + ", ".join(summary.estimators) if summary.estimators else "no flow")
    return "; ".join(parts)


# Statistics -----------------------------------------------------------------------------------------------------------


def _statistics(contents: Contents) -> str:
    statistics = contents.summary.statistics
    if not statistics:
        return ""
    plots = []
    for name, values in statistics.items():
        label, unit, logarithmic = LABELS.get(name, (name.replace("_", " "), "", False))
        plot = statistic_plot(values, f"{label} ({unit})" if unit else label, logarithmic)
        plots.append(figure(name, image(plot.encode(), f"histogram of the {label}")))
    quantiles = contents.quantiles()
    rows = [[in_unit(name, value) for value in values] for name, values in quantiles.items()]
    labels = [LABELS[name][0] if name in LABELS else name for name in quantiles]
    heads = [name for name, _ in QUANTILES]
    over = html_table("Over the kept sequences.", heads, labels, rows, "statistic")
    return section("statistics", "Motion", f'<div class="plots">{"".join(plots)}</div>{over if rows else ""}')


# Pictures -------------------------------------------------------------------------------------------------------------


def _sheets(contents: Contents) -> str:
    groups = contents.summary.chosen()
    if not any(groups):
        return ""
    worst, best, ranking = RANKING.get(contents.summary.ranked_by or "", ("Lowest", "Highest", "nothing"))
    titles = (worst, best, f"Random (seed {contents.seed})")
    introduction = (
        f"<p>Kept sequences, of different videos where there are enough; ordered by {escape(ranking)}. From left to "
        "right: the first frame, the stored frame with most motion if any is stored, each pixel's mean displacement "
        "over time (black is none), and the flow to that frame; the wheel in a corner says what its colours mean.</p>"
    )
    parts = [
        f"<h3>{escape(title)}</h3>\n" + "\n".join(_sheet(contents.folder, row) for row in rows)
        for title, rows in zip(titles, groups, strict=True)
        if rows
    ]
    return section("sheets", "A look at the data", introduction + "\n".join(parts))


def _sheet(folder: Path, row: Row) -> str:
    shown = sequence_pictures(folder, row)
    cells = "".join(
        f"<div>{image(picture, ': '.join((row['id'], name)))}<small>{escape(name)}</small></div>"
        for name, picture in shown.pictures
    )
    known = [name for name in ("consistency", "rms_amplitude", "moving_fraction") if row.get(name) is not None]
    values = ", ".join(f"{LABELS[name][0]} {in_unit(name, row[name])}" for name in known)
    shot = f", shot {row['shot']}" if row.get("shot") is not None else ""
    caption = f"{row['source']}, from frame {row['start']}{shot} ({row['split'] or 'no split'}): {values}"
    return f'<figure class="sheet"><div>{cells}</div><figcaption>{escape(caption)}</figcaption></figure>'


# Spectra --------------------------------------------------------------------------------------------------------------


def _measured(contents: Contents) -> str:
    offered = contents.summary.sample.offered
    split = contents.summary.split
    kind = f"kept sequences of the {split} split" if split else "kept sequences"
    if contents.measured < offered:
        return f"{contents.measured:,} of {offered:,} {kind}, drawn with seed {contents.seed}"
    return f"all {offered:,} {kind}"


def _spectrum(contents: Contents) -> str:
    spectra = contents.spectra
    if spectra is None:
        return ""
    plot = spectrum_plot(spectra).encode()
    caption = (
        "Mean amplitude of the spectral volume at each frequency (the paper's Fig. 2 left). Lines: the mean over all "
        "pixels and sequences; bands: the middle 80 % of the sequences' own means."
    )
    notes = [f"Measured: {_measured(contents)}. At 0 Hz stands the mean displacement from the first frame."]
    if spectra.spread > MANY_FREQUENCIES_DIFFER:
        notes.append(
            f"Sequences' own frequencies differ from those shown by up to {spectra.spread:.0%}, with their length and "
            "frame rate."
        )
    content = f'<div class="plots wide">{figure(caption, image(plot, caption))}</div>{notes_list(notes)}'
    return section("spectrum", "Power spectrum", content)


def _coefficients(contents: Contents) -> str:
    spectra, normalizer = contents.spectra, contents.normalizer
    if spectra is None or normalizer is None:
        return ""
    captions = (
        "Coefficients before normalisation, up to the 99th percentile of the widest frequency shown",
        "After adaptive normalisation by stats.json (the paper's Fig. 2 right)",
    )
    pairs = zip(captions, coefficient_plots(spectra, normalizer), strict=True)
    plots = "".join(figure(caption, image(plot.encode(), caption)) for caption, plot in pairs)
    rows = [[f"{scale:.4g}", f"{share:.2%}"] for scale, share in zip(normalizer.scales, contents.outside, strict=True)]
    names = [f"{hertz:.2f} Hz" for hertz in spectra.hertz]
    heads = ["95th percentile (px)", "outside [-1, 1]"]
    over = html_table("Scale of each frequency, and what lies beyond it.", heads, names, rows, "frequency")
    notes = [
        f"Densities of the four real channels over all pixels, every coefficient counted: {_measured(contents)}.",
        "Normalised: sign(S) sqrt(|S| / s) with s the 95th percentile of |S| at that frequency (paper Eq. 4); 5 % lie "
        "outside [-1, 1] in the sequences that stats.json describes.",
    ]
    details = f"<details><summary>Each frequency</summary>{over}</details>"
    return section("coefficients", "Coefficients", f'<div class="plots wide">{plots}</div>{notes_list(notes)}{details}')


# Where it comes from --------------------------------------------------------------------------------------------------


def _provenance(contents: Contents) -> str:
    known = contents.statistics or {}
    plain = {key: value for key, value in known.items() if not isinstance(value, list) or key == "size"}
    groups = {
        "Options of the folder (parameters.json)": contents.parameters,
        "Statistics (stats.json)": plain,
        "Versions this page was made with": package_versions(),
    }
    content = "\n".join(listing(title, values) for title, values in groups.items())
    return section("provenance", "How it was made", content)
