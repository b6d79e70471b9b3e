"""All metrics by name: what each is called, which tables have it, how it is computed, and what it rests on.

Adding a metric takes one entry in :data:`METRICS` and the function that it names; names stand here alone. Nothing heavy
is imported, and the function of an entry is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evaluation.metrics.metric import NO_CHANGE, NO_PHOTOS, NO_SAMPLING, NO_STEP, ONE_SAMPLE, FeatureSet, Kind, Metric

RENDERING, MOTION, SAMPLING, STILLNESS = "rendering", "motion", "sampling", "stillness"  # the tables
IMAGE, MEASURES, SCORES = "evaluation.metrics.image", "evaluation.metrics.motion", "evaluation.metrics.motion_scores"
DIVERSITY, COST = "evaluation.metrics.diversity", "evaluation.tables.sampling_cost"

# In the order of the tables' columns.
METRICS = {
    "psnr": Metric(
        label="PSNR (dB)",
        better="higher",
        decimals=2,
        kind="frames",
        tables=(RENDERING,),
        compute=f"{IMAGE}:psnr_of_rows",
    ),
    "ssim": Metric(
        label="SSIM", better="higher", decimals=4, kind="frames", tables=(RENDERING,), compute=f"{IMAGE}:ssim_of_rows"
    ),
    "lpips": Metric(
        label="LPIPS (AlexNet)",
        better="lower",
        decimals=4,
        kind="frames",
        tables=(RENDERING,),
        load=f"{IMAGE}:load_lpips_of_rows",
        weights=("lpips_alexnet",),
    ),
    "sharpness": Metric(
        label="Sharpness",
        better="one",
        kind="frames",
        tables=(RENDERING,),
        compute=f"{IMAGE}:sharpness_of_rows",
    ),
    "flicker": Metric(
        label="Flicker",
        better="lower",
        kind="steadiness",
        tables=(RENDERING,),
        compute="evaluation.metrics.flicker:Flicker",
        missing=NO_CHANGE,
    ),
    "fid": Metric(
        label="FID",
        better="lower",
        decimals=2,
        kind="sets",
        tables=(MOTION,),
        features=FeatureSet("inception"),
        weights=("fid_inception",),
        curve=True,
    ),
    "kid": Metric(
        label="KID x100",
        better="lower",
        decimals=3,
        kind="sets",
        tables=(MOTION,),
        features=FeatureSet("inception"),
        weights=("fid_inception",),
        kernel=True,
        scale=100,
        column="kid x100",
    ),
    "fvd": Metric(
        label="FVD",
        better="lower",
        decimals=1,
        kind="sets",
        tables=(MOTION,),
        features=FeatureSet("i3d", 16),
        weights=("i3d_kinetics400",),
        curve=True,
    ),
    "fvd32": Metric(
        label="FVD32",
        better="lower",
        decimals=1,
        kind="sets",
        tables=(MOTION,),
        features=FeatureSet("i3d", 32),
        weights=("i3d_kinetics400",),
    ),
    "dtfvd": Metric(
        label="DTFVD",
        better="lower",
        decimals=2,
        kind="sets",
        tables=(MOTION,),
        features=FeatureSet("dti3d_16", 16),
        weights=("dti3d_16",),
        curve=True,
    ),
    "dtfvd32": Metric(
        label="DTFVD32",
        better="lower",
        decimals=2,
        kind="sets",
        tables=(MOTION,),
        features=FeatureSet("dti3d_32", 32),
        weights=("dti3d_32",),
    ),
    "localisation": Metric(
        label="Localisation",
        better="higher",
        kind="motion",
        tables=(MOTION, SAMPLING),
        compute=f"{MEASURES}:localisation",
        relative=True,
        of_map=True,
    ),
    "amplitude_ratio": Metric(
        label="Amplitude ratio",
        better="one",
        kind="motion",
        tables=(MOTION, SAMPLING),
        compute=f"{MEASURES}:amplitude_ratio",
        relative=True,
    ),
    "spectrum_distance": Metric(
        label="Spectrum distance",
        better="lower",
        kind="motion",
        tables=(MOTION, SAMPLING),
        compute=f"{MEASURES}:spectrum_distance",
    ),
    "coherence": Metric(label="Coherence", kind="motion", tables=(MOTION, SAMPLING), compute=f"{MEASURES}:coherence"),
    "motion_frechet": Metric(
        label="Fréchet distance of motion",
        better="lower",
        decimals=2,
        kind="sets",
        tables=(SAMPLING,),
        features=FeatureSet("motion", unit="windows"),
    ),
    "motion_seam": Metric(
        label="Loop seam of the motion",
        better="one",
        kind="loop",
        tables=(SAMPLING,),
        compute=f"{SCORES}:motion_seam",
        missing=NO_STEP,
    ),
    "diversity_motion": Metric(
        label="Diversity (motion)",
        kind="samples",
        tables=(MOTION, SAMPLING),
        compute=f"{SCORES}:motion_diversity",
        missing=ONE_SAMPLE,
    ),
    "seam": Metric(
        label="Loop seam", better="one", kind="video", tables=(MOTION,), compute=f"{SCORES}:seam", missing=NO_STEP
    ),
    "diversity_vgg16": Metric(
        label="Diversity (VGG16)",
        kind="clips",
        tables=(MOTION,),
        load=f"{DIVERSITY}:load_vgg16_distance",
        weights=("lpips_vgg16",),
        missing=ONE_SAMPLE,
    ),
    "diversity_i3d": Metric(
        label="Diversity (I3D)",
        kind="clips",
        tables=(MOTION,),
        load=f"{DIVERSITY}:load_i3d_distance",
        weights=("i3d_kinetics400",),
        missing=ONE_SAMPLE,
    ),
    "diversity_dti3d": Metric(
        label="Diversity (DTI3D)",
        kind="clips",
        tables=(MOTION,),
        load=f"{DIVERSITY}:load_dti3d_distance",
        weights=("dti3d_16",),
        missing=ONE_SAMPLE,
    ),
    "network_calls": Metric(
        label="U-Net calls a photo",
        better="lower",
        decimals=0,
        kind="cost",
        tables=(SAMPLING,),
        compute=f"{COST}:calls_a_sample",
        missing=NO_SAMPLING,
    ),
    "seconds": Metric(
        label="Seconds a photo",
        better="lower",
        decimals=2,
        kind="cost",
        tables=(SAMPLING,),
        compute=f"{COST}:seconds_a_sample",
        missing=NO_SAMPLING,
    ),
    "still_photos": Metric(
        label="Amplitude of still photos (px)", better="lower", tables=(STILLNESS,), missing=NO_PHOTOS, median=True
    ),
    "still_regions": Metric(
        label="Amplitude of still regions (px)", better="lower", tables=(STILLNESS,), missing=NO_PHOTOS, median=True
    ),
    "plants": Metric(label="Amplitude of plants (px)", tables=(STILLNESS,), missing=NO_PHOTOS, median=True),
    "photos_ratio": Metric(
        label="Still photos over plants",
        better="lower",
        tables=(STILLNESS,),
        missing=NO_PHOTOS,
        parts=("still_photos", "plants"),
        column="photos/plants",
    ),
    "regions_ratio": Metric(
        label="Still regions over plants",
        better="lower",
        tables=(STILLNESS,),
        missing=NO_PHOTOS,
        parts=("still_regions", "plants"),
        column="regions/plants",
    ),
}


def metric_of(name: str) -> Metric:
    """What is known about a metric; one that isn't registered is shown under its own name."""
    return METRICS.get(name) or Metric(label=name.replace("_", " "))


def of_table(table: str, registry: Mapping[str, Metric] = METRICS) -> dict[str, Metric]:
    """The metrics that a table has, in the order of its columns."""
    return {name: metric for name, metric in registry.items() if table in metric.tables}


def of_kind(kind: Kind, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Metric]:
    """Those of the metrics that are of this kind."""
    return {name: metric for name, metric in metrics.items() if metric.kind == kind}


def choose(metrics: Mapping[str, Metric], names: Iterable[str] | None, option: str) -> dict[str, Metric]:
    """Those of a table's metrics that an option asks for, in the table's order; None asks for all.

    Raises:
        ValueError: a name that the table does not know.
    """
    return {name: metrics[name] for name in chosen(names, metrics, option)}


def metric_names(table: Mapping[str, Mapping]) -> list[str]:
    """Every metric of ``{row: {metric: ...}}`` in the order in which they come up."""
    return in_order(name for row in table.values() for name in row)


def in_order(names: Iterable[str]) -> list[str]:
    """Each name once, in the order of their first appearance."""
    return list(dict.fromkeys(names))


def chosen(names: Iterable[str] | None, known: Iterable[str], option: str) -> tuple[str, ...]:
    """Those of the names that a table knows which an option asks for, in the table's order; None asks for all.

    Raises:
        ValueError: a name that the table does not know.
    """
    known = tuple(known)
    asked = set(known if names is None else names)
    unknown = asked - set(known)
    if unknown:
        raise ValueError(f"{option}: {', '.join(sorted(unknown))} unknown, expected some of {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def format_value(value: float, decimals: int) -> str:
    """Fixed decimals; what would lose its second digit by that is written with two significant digits."""
    if value != 0 and abs(value) < 10.0 ** (1 - decimals):
        return f"{value:.2g}"
    return f"{value:.{decimals}f}"
