"""Published checkpoints: their tensors under our names, by a table that says which is which.

The published files carry names of their own code. A table has lines ``ours,theirs``; without one a draft is written
that pairs tensors of equal shape in the order of both files, to be looked through: where neighbours have one shape, as
scale and shift do, only their names tell them apart. Nothing is guessed when converting: every tensor of ours needs
exactly one of theirs, of its shape.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.cinn.config import Preset
from baselines.cinn.model import StochasticImageToVideo, kind_of
from common.checkpoint import load_checkpoint, load_weights
from common.files import temporary_path
from common.hashing import file_sha256
from common.tensor_files import read_torch_file

STAGE_OF = {"encoder": "vae", "decoder": "vae", "condition": "condition", "flow": "flow"}
# torch has two ways of spectral normalisation; the older one's names lead to the newer one's.
SPECTRAL_NAMES = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
WRAPPERS = ("state_dict", "model", "net")  # names under which files keep the tensors beside other things


def read_published(path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name, the names of spectral normalisation brought to torch's present ones.

    Raises:
        ValueError: no such file, or one with something else than tensors and plain values.
    """
    found = read_torch_file(path, advice="give the file of weights that was published")
    while isinstance(found, Mapping) and not any(isinstance(value, Tensor) for value in found.values()):
        inner = [found[name] for name in WRAPPERS if isinstance(found.get(name), Mapping)]
        if not inner:
            raise ValueError(f"{path}: holds no tensors by name, only {', '.join(map(str, list(found)[:5]))}")
        found = inner[0]
    if not isinstance(found, Mapping):
        raise ValueError(f"{path}: holds a {type(found).__name__}, not tensors by name")
    return {_present_name(str(name)): value for name, value in found.items() if isinstance(value, Tensor)}


def _present_name(name: str) -> str:
    before, _, last = name.rpartition(".")
    return f"{before}.{SPECTRAL_NAMES[last]}" if before and last in SPECTRAL_NAMES else name


def draft_names(file: Path, preset: Preset, part: str, *, folder: Path) -> Path:
    """Write the draft of a table: ours and theirs of equal shape, in the order of both, and what is left of either."""
    theirs = {name: tuple(tensor.shape) for name, tensor in read_published(file).items()}
    with torch.device("meta"):
        ours = {name: tuple(t.shape) for name, t in _part(preset, part).state_dict().items()}
    rows, left = [], dict(theirs)
    for name, shape in ours.items():
        match = next((other for other, there in left.items() if there == shape), "")
        left.pop(match, None)
        rows.append((name, match))
    rows += [("", other) for other in left]
    path = folder / f"{part}_names.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_path(path) as temporary, temporary.open("w", newline="") as table:
        csv.writer(table).writerows([("ours", "theirs"), *rows])
    return path


def convert_part(file: Path, preset: Preset, part: str, *, names: Path, folder: Path) -> dict[str, object]:
    """Add one part to the checkpoints of a run folder: the other part of its stage, if there, is kept.

    Returns:
        What was converted, for a report.

    Raises:
        ValueError: the table names tensors that are missing, doubled or of another shape.
    """
    theirs, table, stage = read_published(file), read_names(names), STAGE_OF[part]
    missing = [other for other in table.values() if other not in theirs]
    if missing:
        raise ValueError(f"{names}: {file} has no tensor {missing[0]} ({len(missing)} are missing)")
    model = StochasticImageToVideo(preset.model)
    place = folder / stage
    training: dict[str, object] = {}
    if (place / "config.json").is_file():
        config, tensors = load_checkpoint(place, kind_of(stage))
        load_weights(model.part(stage), tensors, place)
        training = config["training"]
    target = getattr(model, part)
    chosen = {
        name: theirs[other].float() if theirs[other].is_floating_point() else theirs[other]
        for name, other in table.items()
    }
    load_weights(target, _completed(chosen, target), file)
    digest = file_sha256(file)
    model.save_stage(place, stage, training={**training, "stage": stage, f"{part}_converted_from": digest})
    return {"part": part, "tensors": len(table), "sha256": digest}


def read_names(path: Path) -> dict[str, str]:
    """Ours -> theirs of a table; lines with one of the two empty say what is left out.

    Raises:
        ValueError: no such table, or one of theirs twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such table of names")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("ours") and row.get("theirs")]
    if not rows:
        raise ValueError(f"{path}: no lines of ours,theirs; begin it with that heading")
    table = {row["ours"]: _present_name(row["theirs"]) for row in rows}
    if len(set(table.values())) < len(rows):
        raise ValueError(f"{path}: a tensor has two names, or two have one; each may stand in one line")
    return table


def _completed(tensors: dict[str, Tensor], target: nn.Module) -> dict[str, Tensor]:
    """With the notes that ours keeps and theirs don't: that an ActNorm was initialised, how often batches were seen."""
    own = target.state_dict()
    notes = {name: torch.tensor(True) for name in own if name.rpartition(".")[2] == "initialized"}
    notes |= {name: value for name, value in own.items() if name.rpartition(".")[2] == "num_batches_tracked"}
    return notes | tensors


def _part(preset: Preset, part: str) -> nn.Module:
    return getattr(StochasticImageToVideo(preset.model), part)
