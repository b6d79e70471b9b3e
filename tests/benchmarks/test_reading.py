"""Training reads prepared files alone; a benchmark compares that with what it replaces, which gives equal volumes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.datasets.os_cache import drop_from_cache, is_cached
from benchmarks.datasets.reading import (
    DECODED,
    DECODED_PAIRS,
    PAIRS,
    VOLUMES,
    main,
    prepare_readings,
    samples_per_second,
    summarize,
)
from data.dataset.reading import FramePairDataset, SpectralVolumeDataset
from data.media.read_video import read_frames


def test_no_video_is_touched(small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    def touched(*arguments: object, **options: object) -> None:
        raise AssertionError("a video was opened")

    monkeypatch.setattr(cv2, "VideoCapture", touched)
    monkeypatch.setattr(torch.fft, "rfft", touched)
    for split in ("train", "validation"):
        volumes = SpectralVolumeDataset(small_dataset, split, num_frequencies=4)
        for dataset in (volumes, FramePairDataset(small_dataset, split)):
            assert len(dataset)
            for index in range(len(dataset)):
                assert dataset[index]["id"]
    with pytest.raises(AssertionError, match="a video was opened"):
        read_frames(small_dataset.parent / "first.mp4", [0])


def test_both_ways_deliver_the_same(small_dataset: Path, tmp_path: Path) -> None:
    readings = prepare_readings(small_dataset, "train", num_sequences=2, num_frequencies=4, scratch=tmp_path, seed=0)
    prepared, decoded = readings.ways[VOLUMES], readings.ways[DECODED]
    assert len(prepared) == len(decoded) == 2
    for index in range(2):
        ours, theirs = prepared[index], decoded[index]
        assert ours["image"].shape == theirs["image"].shape
        assert (ours["image"] - theirs["image"]).abs().mean() < 0.1  # H.264 at crf 18
        assert ours["spectral_volume"].shape == theirs["spectral_volume"].shape
        # The fields are those of the four frequencies stored, the first of them zero by definition, all in float16.
        error = (ours["spectral_volume"] - theirs["spectral_volume"])[1:].abs().mean()
        assert error < 0.1 * ours["spectral_volume"][1:].abs().mean()
    pairs, decoded_pairs = readings.ways[PAIRS], readings.ways[DECODED_PAIRS]
    assert len(pairs) == len(decoded_pairs) > 2
    for index in range(len(pairs)):
        ours, theirs = pairs[index], decoded_pairs[index]
        assert ours["frame_index"] == theirs["frame_index"]
        assert (ours["source"] - theirs["source"]).abs().mean() < 0.1
        assert theirs["target"].shape == ours["target"].shape
        assert theirs["flow"].shape == ours["flow"].shape


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_its_report(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = f"--sequences 2 --rounds 2 --seconds 0.01 --num-frequencies 4 --scratch {tmp_path} --report"
    report = tmp_path / "report.json"
    threads = torch.get_num_threads()
    try:
        assert main([str(small_dataset), *options.split(), str(report)]) == 0
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    results = json.loads(report.read_text())["results"]
    assert results["split"] == "train"
    assert set(results["samples_per_second"]) == {VOLUMES, PAIRS, DECODED, DECODED_PAIRS}
    for name, value in results["samples_per_second"].items():
        assert name in printed
        assert value["items"] > 0
        assert len(value["rounds"]) == 2
        assert min(*value["rounds"], value["first"]) > 0
    assert set(results["ratios"]) == {f"{VOLUMES} / {DECODED}", f"{PAIRS} / {DECODED}", f"{PAIRS} / {DECODED_PAIRS}"}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_speed_counts_whole_passes() -> None:
    read = []

    class Way(torch.utils.data.Dataset):
        def __getitem__(self, index: int) -> int:
            read.append(index)
            return index

    assert samples_per_second(Way(), [2, 0, 1]) > 0
    assert read == [2, 0, 1]
    samples_per_second(Way(), [2, 0, 1], seconds=0.01)
    assert len(read) > 6
    assert len(read) % 3 == 0


def test_ratios_are_of_the_medians() -> None:
    speeds = {VOLUMES: [90.0, 100.0, 120.0], PAIRS: [300.0, 400.0, 500.0], DECODED: [3.0, 4.0, 6.0]}
    speeds[DECODED_PAIRS] = [10.0, 20.0, 30.0]
    values = {name: {"rounds": rounds, "first": rounds[0], "cold": None} for name, rounds in speeds.items()}
    values[VOLUMES]["cold"], values[DECODED]["cold"] = 50.0, 2.0
    ratios = summarize(values)
    expected = {"median": 25.0, "lowest": 20.0, "highest": 30.0, "first": 30.0, "cold": 25.0}
    assert ratios[f"{VOLUMES} / {DECODED}"] == expected
    assert ratios[f"{PAIRS} / {DECODED_PAIRS}"]["median"] == 20.0
    assert "cold" not in ratios[f"{PAIRS} / {DECODED}"]


def test_files_are_dropped_from_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "numbers.npy"
    np.save(path, np.arange(100_000))
    np.load(path)
    if not is_cached(path):
        pytest.skip("this system does not tell what its page cache holds")
    if not drop_from_cache([path]):
        pytest.skip("this file system keeps its files in memory")
    # It was looked at once, which reads a block ahead on some systems: another look would find that block.
    np.load(path)
    assert is_cached(path) is True


def test_wrong_options_are_one_line(small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for options, message in (
        ([str(tmp_path)], "manifest.csv: no such file"),
        (
            [str(small_dataset), "--split", "test"],
            "no sequences in the split 'test', the dataset has train, validation",
        ),
        (
            [str(small_dataset), "--scratch", str(tmp_path / "none")],
            "none: no such folder; make it, or leave --scratch",
        ),
        ([str(small_dataset), "--device", "cuda"], "--device cuda: reading takes place on the CPU; use auto or cpu"),
    ):
        assert main([*options, "--threads", str(torch.get_num_threads())]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
