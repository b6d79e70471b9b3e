"""How fast training reads prepared data, against decoding and transforming it, measured in turn in one run.

The other way is the reference implementation's: decode the frame from the video, read all flow fields of the sequence
(float16), transform them over time and keep the lowest frequencies. To its benefit the video is as small as the
sequence and begins at its first frame, and the fields lie in one file.

Examples:
  python -m benchmarks.datasets.reading dataset
  python -m benchmarks.datasets.reading dataset --split train --sequences 16 --seconds 4 --report reading.json
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmarks.datasets.os_cache import drop_from_cache
from benchmarks.timing import benchmark_parser
from common.command_line import run_script, write_report
from common.images import from_8_bits
from common.option_types import count, positive
from data.dataset.manifest import COLUMNS, load_manifest, load_statistics, write_manifest
from data.dataset.reading import FramePairDataset, SpectralVolumeDataset
from data.dataset.sequence_file import read_sequence, sequence_path
from data.dataset.splits import SPLITS
from data.media.read_video import read_frames
from data.media.write_video import write_video
from models.spectral_volume import motion_to_spectral_volume, spectral_volume_to_motion

VOLUMES, PAIRS = "SpectralVolumeDataset", "FramePairDataset"
DECODED, DECODED_PAIRS = "decoding and transforming all flow fields", "decoding two frames, reading one flow field"
LEAST_RATIO = 20  # what is asked of both datasets against DECODED


class UnpreparedVolumes(Dataset):
    """Photo and spectral volume from a video and a file of flow fields: the way that a dataset folder replaces.

    Items are those of :class:`data.dataset.reading.SpectralVolumeDataset`, but for what H.264 changes in the photo.

    Args:
        files: video and flow fields ``[T - 1, 2, H, W]`` (npy, float16) of each sequence.
        num_frequencies: K.
    """

    def __init__(self, files: Sequence[tuple[Path, Path]], num_frequencies: int) -> None:
        self.files, self.num_frequencies = files, num_frequencies

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict:
        video, fields = self.files[index]
        photo = torch.from_numpy(read_frames(video, [0])[0]).permute(2, 0, 1)
        flows = torch.from_numpy(np.load(fields)).float()
        motion = torch.cat([torch.zeros_like(flows[:1]), flows])
        volume = motion_to_spectral_volume(motion[None], self.num_frequencies)[0]
        return {"image": from_8_bits(photo.contiguous()), "spectral_volume": volume}


class UnpreparedPairs(Dataset):
    """First and a later frame decoded from a video, and the flow between them out of a memory-mapped file.

    Args:
        files: as of :class:`UnpreparedVolumes`.
        pairs: number of the sequence and t of the later frame, by item.
    """

    def __init__(self, files: Sequence[tuple[Path, Path]], pairs: Sequence[tuple[int, int]]) -> None:
        self.files, self.pairs = files, pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict:
        sequence, later = self.pairs[index]
        video, fields = self.files[sequence]
        source, target = torch.from_numpy(read_frames(video, [0, later])).permute(0, 3, 1, 2).contiguous()
        flow = torch.from_numpy(np.load(fields, mmap_mode="r")[later - 1].astype(np.float32))
        return {"source": from_8_bits(source), "target": from_8_bits(target), "flow": flow, "frame_index": later}


@dataclass(frozen=True)
class Readings:
    """The ways of reading that are compared, each an indexable dataset of the same sequences, with their files."""

    ways: dict[str, Dataset]
    files: dict[str, list[Path]]


def prepare_readings(
    folder: Path, split: str, *, num_sequences: int, num_frequencies: int, scratch: Path, seed: int
) -> Readings:
    """Choose sequences and write into ``scratch`` what both ways read.

    That is a copy of their part of the dataset folder, which nothing else has open, and beside it their videos and flow
    fields: 24 MB each at 256x160 and T = 150.
    """
    rows = load_manifest(folder, split)
    chosen = np.random.default_rng(seed).choice(len(rows), min(num_sequences, len(rows)), replace=False)
    rows = [rows[index] for index in sorted(chosen)]
    copy = copy_sequences(folder, rows, copy=scratch / "dataset")
    volumes, pairs = SpectralVolumeDataset(copy, split, num_frequencies=num_frequencies), FramePairDataset(copy, split)
    files = [write_unprepared(copy, row, scratch=scratch) for row in volumes.rows]
    later = [(sequence, int(pairs[item]["frame_index"])) for item, (sequence, _) in enumerate(pairs.pairs)]
    prepared = [sequence_path(copy, row["id"]) for row in volumes.rows]
    unprepared = [path for both in files for path in both]
    ways: dict[str, Dataset] = {
        VOLUMES: volumes,
        PAIRS: FramePairDataset(copy, split),  # one that has computed nothing yet
        DECODED: UnpreparedVolumes(files, num_frequencies),
        DECODED_PAIRS: UnpreparedPairs(files, later),
    }
    return Readings(ways, dict(zip(ways, (prepared, prepared, unprepared, unprepared), strict=True)))


def copy_sequences(folder: Path, rows: Sequence[dict], *, copy: Path) -> Path:
    """A dataset folder with these sequences alone."""
    (copy / "sequences").mkdir(parents=True)
    shutil.copy(folder / "stats.json", copy)
    write_manifest(copy / "manifest.csv", [{name: row[name] for name in COLUMNS if name in row} for row in rows])
    for row in rows:
        shutil.copyfile(sequence_path(folder, row["id"]), sequence_path(copy, row["id"]))
    return copy


def write_unprepared(folder: Path, row: dict, *, scratch: Path) -> tuple[Path, Path]:
    """Video and flow fields of a sequence; fields that the folder doesn't hold are those of its spectral volume."""
    import cv2

    tensors = read_sequence(sequence_path(folder, row["id"]), ["first_frame", "spectral_volume", "flows"])
    num_frames, photo = row["num_frames"], tensors["first_frame"].permute(1, 2, 0).numpy()
    flows = tensors["flows"]
    if len(flows) < num_frames - 1:
        flows = spectral_volume_to_motion(tensors["spectral_volume"][None].float(), num_frames)[0, 1:].half()
    fields, video = scratch / f"{row['id']}.npy", scratch / f"{row['id']}.mp4"
    np.save(fields, flows.numpy())
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    frames = [photo]
    for flow in flows.float().numpy():  # any picture that moves like the video costs as much to decode
        frames.append(cv2.remap(photo, x - flow[0], y - flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    write_video(video, frames, row["fps"])
    return video, fields


# Measuring ------------------------------------------------------------------------------------------------------------


def samples_per_second(way: Dataset, order: Sequence[int], *, seconds: float = 0.0) -> float:
    """Items a second over the whole order, again and again until so many seconds have passed."""
    read, start = 0, time.perf_counter()
    while True:
        for index in order:
            way[index]
        read += len(order)
        passed = time.perf_counter() - start
        if passed >= seconds:
            return read / passed


def measure(readings: Readings, rounds: int, *, seconds: float, seed: int, progress: Callable[[str], object]) -> dict:
    """Samples a second of each way: ``cold`` (None where the page cache can't be emptied), ``first``, ``rounds``.

    ``first`` is the first pass with all files in the page cache, when the importance maps are computed; the rounds
    follow it, all ways in turn.
    """
    random = np.random.default_rng(seed)
    values: dict[str, dict[str, Any]] = {
        name: {"items": len(way), "rounds": []}  # type: ignore[arg-type]
        for name, way in readings.ways.items()
    }
    for name, way in readings.ways.items():
        progress(f"{name}, first reading")
        order = random.permutation(len(way)).tolist()  # type: ignore[arg-type]
        fresh = _anew(way)
        cold = drop_from_cache(readings.files[name])
        speed = samples_per_second(fresh, order)
        values[name]["cold"] = speed if cold else None
        values[name]["first"] = samples_per_second(_anew(way), order)
    for number in range(rounds):
        for name, way in readings.ways.items():
            progress(f"{name}, round {number + 1} of {rounds}")
            order = random.permutation(len(way)).tolist()  # type: ignore[arg-type]
            if number == 0:
                samples_per_second(way, order)  # computes what is kept
            values[name]["rounds"].append(samples_per_second(way, order, seconds=seconds))
    return values


def _anew(way: Dataset) -> Dataset:
    """The same dataset without what it has kept of earlier readings."""
    return FramePairDataset(way.folder, way.rows[0]["split"]) if isinstance(way, FramePairDataset) else way


def summarize(values: dict) -> dict[str, dict[str, float]]:
    """Ratios of the medians over the rounds, lowest to highest within a round, and those of first and cold readings."""
    ratios = {}
    for name, other in ((VOLUMES, DECODED), (PAIRS, DECODED), (PAIRS, DECODED_PAIRS)):
        ours, theirs = values[name], values[other]
        within = [a / b for a, b in zip(ours["rounds"], theirs["rounds"], strict=True)]
        ratio = {"median": statistics.median(ours["rounds"]) / statistics.median(theirs["rounds"])}
        ratio |= {"lowest": min(within), "highest": max(within), "first": ours["first"] / theirs["first"]}
        if ours["cold"] and theirs["cold"]:
            ratio["cold"] = ours["cold"] / theirs["cold"]
        ratios[f"{name} / {other}"] = ratio
    return ratios


# Command line ---------------------------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("datasets.reading", __doc__, threads=1)
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="a folder that data.prepare or data.synthetic made")
    add("--split", choices=SPLITS, help="default: the first that has sequences")
    add("--sequences", type=count, default=8, metavar="N", help="sequences to read (default: 8)")
    add("--num-frequencies", type=count, default=16, metavar="K", help="frequencies of a spectral volume (default: 16)")
    add("--rounds", type=count, default=5, help="rounds of all ways in turn (default: 5)")
    add("--seconds", type=positive, default=1.0, help="least time of each way in a round (default: 1)")
    add(
        "--scratch", type=Path, metavar="FOLDER", help="existing folder for temporary files, best on the dataset's disk"
    )
    return run_script(measure_folder, parser.parse_args(argv))


def measure_folder(arguments: argparse.Namespace) -> None:
    """Measure what the command line describes."""
    if arguments.device not in ("auto", "cpu"):
        raise ValueError(f"--device {arguments.device}: reading takes place on the CPU; use auto or cpu")
    if arguments.scratch and not arguments.scratch.is_dir():
        raise ValueError(f"{arguments.scratch}: no such folder; make it, or leave --scratch out")
    torch.set_num_threads(arguments.threads)
    folder: Path = arguments.dataset
    kept = {row["split"] for row in load_manifest(folder) if row["status"] == "kept"}
    split = arguments.split or next((split for split in SPLITS if split in kept), SPLITS[0])
    num_frequencies = min(arguments.num_frequencies, load_statistics(folder)["num_frequencies"])
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        print(f"{folder}: writing videos and flow fields for the other way", file=sys.stderr)
        readings = prepare_readings(
            folder,
            split,
            num_sequences=arguments.sequences,
            num_frequencies=num_frequencies,
            scratch=Path(scratch),
            seed=arguments.seed,
        )
        show = sys.stderr.isatty()
        values = measure(
            readings,
            arguments.rounds,
            seconds=arguments.seconds,
            seed=arguments.seed,
            progress=lambda text: print(f"\r{text:<90}", end="", file=sys.stderr) if show else None,
        )
    if show:
        print(f"\r{'':<90}\r", end="", file=sys.stderr)
    ratios = summarize(values)
    print(describe(values, ratios))
    results = {"split": split, "samples_per_second": values, "ratios": ratios, "asked": LEAST_RATIO}
    write_report(arguments.report, "benchmarks.datasets.reading", arguments, {"results": results})


def describe(values: dict, ratios: dict) -> str:
    """The table that is printed."""
    lines = [f"{'samples per second':<50}{'median':>10}{'first pass':>12}{'from disk':>11}"]
    for name, value in values.items():
        cold = f"{value['cold']:.1f}" if value["cold"] else "-"
        lines.append(f"{name:<50}{statistics.median(value['rounds']):>10.1f}{value['first']:>12.1f}{cold:>11}")
    lines += ["", f"{'times as fast as':<50}{'median':>10}{'first pass':>12}{'from disk':>11}{'rounds':>16}"]
    for name, ratio in ratios.items():
        ours, other = name.split(" / ")
        cold = f"{ratio['cold']:.1f}" if "cold" in ratio else "-"
        span = f"{ratio['lowest']:.1f} to {ratio['highest']:.1f}"
        lines += [f"{ours}:", f"  {other:<48}{ratio['median']:>10.1f}{ratio['first']:>12.1f}{cold:>11}{span:>16}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
