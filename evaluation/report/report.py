"""What a report says about where its numbers come from; reading reports back, and their values as CSV.

A report is the JSON that `evaluate.py --report` writes: `format_version`, `kind` (one of :data:`KINDS`),
`table[row][metric]` with `intervals`, `counts` and `notes` of the same form, `per_sequence[row][id][metric]`, and the
provenance made here. Values that could not be computed are null.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import temporary_path
from common.hashing import file_sha256
from evaluation.metrics.registry import in_order

if TYPE_CHECKING:
    from evaluation.sequences import EvaluationSequence

FORMAT_VERSION = 1
KINDS = ("rendering", "motion", "sampling", "stillness", "ablation")
# Columns of the manifest that decide what a sequence is: its frames, and the motion measured in them.
IDENTITY = (
    *("source_sha256", "start", "fps", "num_frames", "width", "height"),
    *("estimator", "estimator_parameters"),
)


# Provenance -----------------------------------------------------------------------------------------------------------


def data_provenance(folder: Path, split: str, *, sequences: Sequence[EvaluationSequence]) -> dict:
    """Which data a table rests on.

    Returns:
        ``name`` and ``manifest_sha256`` of the dataset folder, ``split``, numbers of ``sequences`` and of the distinct
        videos (``sources``) that they were cut from, ``size`` [W, H], lowest and highest ``fps`` and ``num_frames``,
        and for each sequence under ``identities`` its ``source`` and a ``fingerprint`` of what it is, by which two
        reports find the sequences that they share.

    Raises:
        ValueError: no sequences, or sequences of different sizes.
    """
    if not sequences:
        raise ValueError(f"{folder}: no sequences in the split {split!r}")
    sizes = sorted({sequence.size for sequence in sequences})
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise ValueError(
            f"{Path(folder) / 'manifest.csv'}: sequences of different sizes ({shown}), prepare them at one"
        )
    return {
        "name": Path(folder).resolve().name,
        "manifest_sha256": file_sha256(Path(folder) / "manifest.csv"),
        "split": split,
        "sequences": len(sequences),
        "sources": len({sequence.source for sequence in sequences}),
        "size": list(sizes[0]),
        "fps": _range(sequence.fps for sequence in sequences),
        "num_frames": _range(sequence.num_frames for sequence in sequences),
        "identities": {
            sequence.id: {"source": sequence.source, "fingerprint": _fingerprint(sequence.row)}
            for sequence in sequences
        },
    }


def _range(values: Iterable[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered[0], ordered[-1]]


def _fingerprint(row: Mapping) -> str:
    identity = [row.get(name) for name in IDENTITY]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def checkpoint_provenance(path: str | Path, parts: Sequence[str] = ("motion", "frame_synthesis")) -> dict:
    """``name`` of a checkpoint and under ``files`` the sha256 of each file that the parts used were loaded from.

    Args:
        path: as for :meth:`models.pipeline.ImageDynamicsPipeline.from_pretrained`. Parts that it does not have are
            those that come with the repository, and ``defaults`` lists them.
        parts: of :data:`models.checkpoints.PARTS`, those that took part.
    """
    from models.checkpoints import PRETRAINED, checkpoint_folders

    folders = checkpoint_folders(path)
    own = Path(path).resolve() == PRETRAINED.resolve()
    defaults = [part for part in parts if folders[part] == PRETRAINED / part and not own]
    files: dict[str, str] = {}
    for part in parts:
        files |= {f"{part}/{name}": digest for name, digest in _checkpoint_files(folders[part]).items()}
    local = Path(path)
    return {"name": local.resolve().name if local.is_dir() else str(path), "files": files, "defaults": defaults}


def folder_provenance(folder: Path) -> dict:
    """``name`` of a learned baseline's checkpoint folder and under ``files`` the sha256 of what is loaded from it.

    Checkpoints of its stages may lie in folders below; what only resuming needs is left out.
    """
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    used = [path for path in inside if path.name == "config.json" or path.suffix == ".safetensors"]
    hashes = {path.as_posix(): file_sha256(folder / path) for path in used if "state" not in path.parts}
    return {"name": folder.resolve().name, "files": hashes}


def _checkpoint_files(folder: Path) -> dict[str, str]:
    from common.checkpoint import load_config
    from models.checkpoints import PARTS

    used = [path for path in (folder / "config.json", *sorted(folder.glob("*.safetensors"))) if path.is_file()]
    hashes = {file.name: file_sha256(file) for file in used}
    base = load_config(folder, PARTS)["base"]  # where the weights lie that this folder leaves out
    if base is not None:
        hashes |= {f"{base}/{name}": digest for name, digest in _checkpoint_files(folder.parent / base).items()}
    return hashes


def weights_provenance(names: Iterable[str], folder: Path | None = None) -> dict[str, str | None]:
    """Content hash of each of these networks' weights (:func:`common.hashing.content_hash`); None without them.

    Args:
        names: of :data:`evaluation.networks.weights.WEIGHTS`.
        folder: of ``--weights``, searched before the user's cache.

    Raises:
        ValueError: weights that are damaged or not the published ones.
    """
    from evaluation.networks.weights import MissingWeightsError, load_metric_weights

    hashes: dict[str, str | None] = {}
    for name in names:
        try:
            hashes[name] = load_metric_weights(name, folder)[1]
        except MissingWeightsError:
            hashes[name] = None
    return hashes


# Files ----------------------------------------------------------------------------------------------------------------


def read_report(path: str | Path) -> dict:
    """Read a report that `evaluate.py --report` wrote.

    Raises:
        ValueError: one line naming the file: missing, not JSON, not such a report, of another format version, damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such report, evaluate.py ... --report writes one")
    try:
        report = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({' '.join(str(error).split())[:100]})") from None
    if not isinstance(report, dict) or report.get("kind") not in KINDS or "table" not in report:
        raise ValueError(f"{path}: not a report of a table, evaluate.py {'|'.join(KINDS)} --report writes those")
    if report.get("format_version") != FORMAT_VERSION:
        version = report.get("format_version")
        raise ValueError(f"{path}: report of format version {version}, this program reads {FORMAT_VERSION}")
    damaged = next((part for part, sound in SOUND.items() if part in report and not sound(report[part])), None)
    if damaged:
        raise ValueError(f"{path}: damaged report, {damaged!r} is not what this program writes; run the table again")
    return report


def write_csv(path: str | Path, report: Mapping) -> None:
    """Write every per-sequence value: columns sequence, source, row and one a metric; a cell without value is empty."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metrics = in_order(name for _, _, values in per_sequence_rows(report) for name in values)
    with temporary_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence", "source", "row", *metrics])
        for identifier, row, values in per_sequence_rows(report):
            writer.writerow([identifier, source_of(report, identifier), row, *(values.get(name) for name in metrics)])


def per_sequence_rows(report: Mapping) -> Iterable[tuple[str, str, Mapping[str, float | None]]]:
    """(sequence, row, values by metric) of everything under ``per_sequence``."""
    for row, sequences in (report.get("per_sequence") or {}).items():
        for identifier, values in sequences.items():
            yield identifier, row, values


def source_of(report: Mapping, identifier: str) -> str:
    """The video that a sequence was cut from, empty where the report does not say."""
    identities = (report.get("data") or {}).get("identities") or {}
    return identities.get(identifier, {}).get("source", "")


# What read_report accepts ---------------------------------------------------------------------------------------------


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_value(value: object) -> bool:
    return value is None or _is_number(value)


def _is_interval(value: object) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _nested(leaf, depth: int):
    """A check that a value is dictionaries in dictionaries, ``depth`` deep, of what passes ``leaf``."""

    def check(value: object, depth: int = depth) -> bool:
        if depth == 0:
            return leaf(value)
        return isinstance(value, dict) and all(check(item, depth - 1) for item in value.values())

    return check


def _is_groups(value: object) -> bool:
    def is_group(group: object) -> bool:
        if not isinstance(group, dict) or not all(map(_is_number, (group.get("sequences"), group.get("sources")))):
            return False
        return all(part in group and SOUND[part](group[part]) for part in ("table", "intervals", "counts", "notes"))

    return _nested(is_group, 2)(value)


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_number(value[0]) and _is_value(value[1])


def _is_curve(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_point, value))


SOUND = {
    "table": _nested(_is_value, 2),
    "intervals": _nested(_is_interval, 2),
    "counts": _nested(_is_value, 2),
    "notes": _nested(_is_text, 2),
    "ratios": _nested(_is_value, 2),
    "per_sequence": _nested(_is_value, 3),
    "groups": _is_groups,
    "curves": _nested(_is_curve, 2),
    "weights": _nested(_is_text_or_none, 1),
    "protocol": lambda value: isinstance(value, dict),
    "data": lambda value: isinstance(value, dict) and _nested(_is_text, 2)(value.get("identities", {})),
    "checkpoint": lambda value: value is None or isinstance(value, dict),
    "warnings": lambda value: isinstance(value, list) and all(map(_is_text, value)),
}
