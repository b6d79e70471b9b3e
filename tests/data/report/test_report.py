"""The page about a dataset folder: what it counts and measures, whose names are text, and what a wrong folder says."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.parsed_page import Page
from safetensors.torch import save_file

from data.dataset.manifest import COLUMNS, iterate_manifest, load_manifest
from data.dataset.sequence_file import read_sequence, sequence_path
from data.dataset.statistics import volume_statistics
from data.report.command import main, write_dataset_page
from data.report.spectra import absolute_quantile, density, measure_spectra, normalized_values, share_outside
from data.report.summary import Extremes, Sample, Summary, summarize
from models.spectral_volume import SpectralNormalizer, motion_to_spectral_volume

WIDTH, HEIGHT, NUM_FRAMES, NUM_FREQUENCIES = 64, 40, 12, 4
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>.mp4"
DROPPED = (
    ("", "short.mp4", "3 frames of 150, choose a smaller --num-frames"),
    ("", "again.mp4", "the same file as clip 0.mp4"),
    ("", "twice.mp4", "near-duplicate of clip2 (1).mp4 (distance 3 of 64 bits)"),
    ("", "thrice.mp4", "near-duplicate of clip1.mp4 (distance 5 of 64 bits)"),
    ("pan_00000", "pan.mp4", "camera motion: 97.5% of the pixels move by more than 1 px"),
    ("pan_00010", "pan.mp4", "camera motion: 99.1% of the pixels move by more than 1 px"),
)


class ReportPage(Page):
    """Besides the pictures, the policy, and the JSON that the page carries."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.images = [image["src"] for image in self.all("img")]
        policies = [meta["content"] for meta in self.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
        self.policy = policies[-1] if policies else ""
        self.values = json.loads(self.scripts[0])


def write_sequence(path: Path, seed: int) -> None:
    """A disc that swings to and fro, a little more with every seed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = np.exp(-((x - 32) ** 2 + (y - 20) ** 2) / 150)
    swing = (1 + seed) * np.sin(2 * np.pi * np.arange(NUM_FRAMES) / NUM_FRAMES)
    motion = torch.tensor(swing[:, None, None, None] * np.stack([disc, 0.3 * disc])).float()
    motion += torch.tensor(random.normal(0, 0.01, motion.shape)).float()
    motion[0] = 0
    photo = torch.tensor(random.integers(0, 256, (3, HEIGHT, WIDTH)), dtype=torch.uint8)
    tensors = {
        "first_frame": photo,
        "frames": torch.stack([photo, photo]),
        "flows": motion[[1, 3]].half(),
        "frame_indices": torch.tensor([1, 3], dtype=torch.int32),
        "spectral_volume": motion_to_spectral_volume(motion[None], NUM_FREQUENCIES)[0].half(),
    }
    save_file(tensors, path)


def write_dataset(folder: Path, kept: int = 6) -> Path:
    """A folder of sequences of three videos, the first for training, beside some that were dropped."""
    (folder / "sequences").mkdir(parents=True)
    rows = []
    for number in range(kept):
        write_sequence(sequence_path(folder, f"s{number}"), number)
        source = (HOSTILE, "clip1.mp4", "clip2.mp4")[number // 2]
        split = ("train", "train", "validation")[number // 2]
        shown = {"rms_amplitude": 1.0 + number, "mean_magnitude": 0.5 + number, "moving_fraction": number / 10}
        shown |= {"median_magnitude": 0.0, "p95_magnitude": 2.0, "consistency": 0.9 - number / 10, "shot": number % 2}
        rows.append({"id": f"s{number}", "source": source, "split": split, "status": "kept", **shown})
    for name, source, reason in DROPPED:
        rows.append({"id": name, "source": source, "status": "dropped", "reason": reason})
        if name:
            rows[-1] |= {"split": "test", "mean_magnitude": 9.0, "moving_fraction": 0.98, "consistency": 0.2, "shot": 0}
    for row in rows:
        row |= {"source_sha256": row["source"], "width": WIDTH, "height": HEIGHT, "estimator": "dis"}
        if row["id"]:
            row |= {"start": 0, "fps": 30, "num_frames": NUM_FRAMES, "stored_frames": 2}
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys((*COLUMNS, "consistency", "shot")), restval="")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "parameters.json").write_text(json.dumps({"size": [WIDTH, HEIGHT], "flow": "dis"}))
    if kept:
        train = [sequence_path(folder, row["id"]) for row in rows if row.get("split") == "train"]
        statistics = {"format_version": 1, "split": "train", "num_sequences": len(train), "num_frames": NUM_FRAMES}
        statistics |= {"num_frequencies": NUM_FREQUENCIES, "size": [WIDTH, HEIGHT], "fps": 30.0, "estimator": "dis"}
        (folder / "stats.json").write_text(json.dumps(statistics | volume_statistics(train)))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("report") / "motion of plants")


@pytest.fixture(scope="module")
def path(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the dataset, with one sequence a group."""
    path = tmp_path_factory.mktemp("page") / "new" / "page.html"
    numbers = path.with_suffix(".json")
    assert main([str(dataset), "--output", str(path), "--sequences", "1", "--report", str(numbers)]) == 0
    return path


# The page -------------------------------------------------------------------------------------------------------------


def test_the_page_counts_sequences_and_names_reasons_with_their_numbers(path: Path) -> None:
    page = ReportPage(path)
    assert "6 sequences kept from 3 videos, 2 dropped" in page.text
    counted = {(row["split"], row["status"]): row for row in page.values["sequences"]}
    assert {key: row["sequences"] for key, row in counted.items()} == {
        ("train", "kept"): 4,
        ("validation", "kept"): 2,
        ("test", "dropped"): 2,
    }
    assert counted["train", "kept"]["videos"] == 2
    assert counted["train", "kept"]["seconds"] == pytest.approx(4 * NUM_FRAMES / 30)
    assert page.values["shots"] == 7
    assert page.values["unusable_videos"] == 4
    rejections = {row["reason"]: (row["sequences"], row["videos"]) for row in page.values["rejections"]}
    assert rejections == {
        "camera motion: 97.5 to 99.1% of the pixels move by more than 1 px": (2, 1),
        "near-duplicate of another (distance 3 to 5 of 64 bits)": (0, 2),
        "the same file as another": (0, 1),
        "3 frames of 150, choose a smaller --num-frames": (0, 1),
    }
    for reason in rejections:
        assert reason in page.text
    assert "near-duplicate of clip2 (1).mp4 (distance 3 of 64 bits)" in page.text  # each of them, as it is


def test_the_page_is_one_file_whose_names_are_text(path: Path) -> None:
    page = ReportPage(path)
    assert HOSTILE in page.text
    assert len(page.scripts) <= 2
    assert all(source.startswith("data:image/") for source in page.images)
    # A histogram of each statistic, four pictures of three sequences, the spectrum, coefficients before and after.
    assert len(page.images) == 6 + 4 * 3 + 1 + 2
    assert "default-src 'none'" in page.policy
    assert "http" not in path.read_text().replace("http-equiv", "").replace("https://matplotlib", "")


def test_pictures_show_the_least_and_the_most_consistent(path: Path, dataset: Path) -> None:
    summary = summarize(iterate_manifest(dataset), shown=1, sampled=10, seed=0)
    assert summary.ranked_by == "consistency"
    lowest, highest, random = ([row["id"] for row in rows] for rows in summary.chosen())
    assert (lowest, highest) == (["s5"], ["s0"])
    assert len(random) == 1
    assert not {*random} & {"s0", "s5"}
    text = ReportPage(path).text
    assert text.index("Least consistent flow") < text.index("clip2.mp4, from frame 0, shot 1 (validation)")
    assert "share of consistent flow 40.0%" in text


@pytest.mark.slow
def test_the_same_page_comes_out_again(path: Path, dataset: Path, tmp_path: Path) -> None:
    assert main([str(dataset), "--output", str(tmp_path / "page.html"), "--sequences", "1"]) == 0
    assert (tmp_path / "page.html").read_bytes() == path.read_bytes()


def test_report_json_holds_the_numbers_of_the_page(path: Path) -> None:
    values = json.loads(path.with_suffix(".json").read_text())
    assert values["results"] == ReportPage(path).values
    assert set(values["timings_seconds"]) == {"manifest", "spectra", "page"}


def test_a_folder_without_a_kept_sequence_has_a_page_that_says_why(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "nothing", kept=0)
    assert main([str(folder)]) == 0
    page = ReportPage(folder / "report.html")
    assert "0 sequences kept from 0 videos, 2 dropped" in page.text
    assert "camera motion: 97.5 to 99.1%" in page.text
    assert len(page.images) == 3  # the statistics of what was dropped


@pytest.mark.slow
def test_large_folders_are_sampled_and_the_page_in_the_folder_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    copy = write_dataset(tmp_path / "copy")
    write_dataset_page(copy, copy / "report.html", shown=1, seed=3, most_measured=2)
    assert "6 sequences kept, 2 dropped" in capsys.readouterr().out
    page = ReportPage(copy / "report.html")
    assert page.values["measured_sequences"] == 2
    assert "2 of 4 kept sequences of the train split, drawn with seed 3" in page.text


def test_chromium_shows_it_at_both_widths(path: Path, browser: Any) -> None:
    for width in (1280, 400):
        context = browser.new_context(viewport={"width": width, "height": 800})
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message, texts=complaints: texts.append(message.text))
        page.on("request", lambda request, urls=requests: urls.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert not complaints
        assert not [url for url in requests if not url.startswith(("file:", "data:"))]
        columns = page.evaluate("getComputedStyle(document.querySelector('.sheet > div')).gridTemplateColumns")
        assert len(columns.split()) == (4 if width == 1280 else 2)
        context.close()


# Measurements ---------------------------------------------------------------------------------------------------------


def test_spectra_are_those_of_the_files(dataset: Path) -> None:
    rows = load_manifest(dataset, "train")
    spectra = measure_spectra(dataset, rows, num_frequencies=NUM_FREQUENCIES)
    volumes = torch.stack(
        [read_sequence(sequence_path(dataset, row["id"]))["spectral_volume"] for row in rows]
    ).double()
    amplitude = torch.complex(volumes[:, :, :2], volumes[:, :, 2:]).abs().mean((3, 4)).numpy()
    np.testing.assert_allclose(spectra.amplitude, amplitude, rtol=1e-5)
    np.testing.assert_allclose(spectra.hertz, np.arange(NUM_FREQUENCIES) * 30 / NUM_FRAMES)
    assert spectra.spread == 0
    values = spectra.coefficients()
    for k, counts in enumerate(spectra.counts):
        coefficients = volumes[:, k].numpy().ravel()
        assert counts.sum() == coefficients.size
        expected, edges = np.histogram(coefficients, 17, (-0.5, 0.5))
        np.testing.assert_allclose(density(values, counts, edges) * np.diff(edges) * coefficients.size, expected)
        assert absolute_quantile(values, counts, 1.0) == np.abs(coefficients).max()
        ordered = np.sort(np.abs(coefficients))
        assert absolute_quantile(values, counts, 0.99) == pytest.approx(ordered[int(0.99 * len(ordered))], rel=0.02)


def test_after_normalisation_five_per_cent_lie_outside(dataset: Path) -> None:
    statistics = json.loads((dataset / "stats.json").read_text())
    spectra = measure_spectra(dataset, load_manifest(dataset, "train"), num_frequencies=NUM_FREQUENCIES)
    normalizer = SpectralNormalizer.from_statistics("adaptive", statistics, NUM_FREQUENCIES)
    for k, counts in enumerate(spectra.counts):
        after = normalized_values(normalizer, spectra.coefficients(), k)
        assert share_outside(after, counts) == pytest.approx(0.05, abs=0.002)
        one = torch.full((1, NUM_FREQUENCIES, 4, 1, 1), 0.25, dtype=torch.float64)
        index = np.flatnonzero(spectra.coefficients() == 0.25)[0]
        assert after[index] == pytest.approx(normalizer.normalize(one)[0, k, 0, 0, 0].item())


def test_frame_rates_may_differ_a_little(dataset: Path) -> None:
    rows = load_manifest(dataset, "train")[:2]
    rows[1] = rows[1] | {"fps": 27.0}
    spectra = measure_spectra(dataset, rows, num_frequencies=NUM_FREQUENCIES)
    assert spectra.hertz[1] == pytest.approx(28.5 / NUM_FRAMES)
    assert spectra.spread == pytest.approx(1.5 / 28.5)


def test_samples_are_uniform_and_extremes_exact() -> None:
    counts = np.zeros(12)
    for seed in range(600):
        sample = Sample(4, seed)
        for number in range(12):
            sample.offer({"id": number})
        rows = [row["id"] for row in sample.rows()]
        assert len(set(rows)) == 4
        counts[rows] += 1
    assert abs(counts - 200).max() < 50
    keys = np.random.default_rng(0).permutation(100).tolist()
    for sign in (1, -1):
        extremes = Extremes(5, sign)
        for key in keys:
            extremes.offer(key, {"id": key})
        assert [row["id"] for row in extremes.rows()] == sorted(keys, key=lambda key: sign * key)[:5]


def test_shown_sequences_are_of_different_videos_where_there_are_enough() -> None:
    rows = [
        {
            "id": f"{number}",
            "source": f"{number // 10}",
            "source_sha256": f"{number // 10}",
            "split": "train",
            "status": "kept",
            "fps": 30.0,
            "num_frames": 150,
            "rms_amplitude": float(number),
        }
        for number in range(30)
    ]
    lowest, highest, random = summarize(rows, shown=3, sampled=5, seed=0).chosen()
    assert [row["id"] for row in lowest] == ["0", "10", "20"]
    assert [row["id"] for row in highest] == ["29", "19", "9"]
    assert len({row["id"] for row in (*lowest, *highest, *random)}) == 9
    assert [row["id"] for row in summarize(rows, shown=5, sampled=5, seed=0).chosen()[0]] == [
        "0",
        "1",
        "10",
        "11",
        "20",
    ]


def test_reasons_without_number_stay_apart_until_there_are_too_many() -> None:
    summary = Summary(shown=1, sampled=1, seed=0, most_reasons=3)
    for letter in "aabcdef":
        summary.add({"id": "", "source": letter, "status": "dropped", "reason": f"{letter} is wrong", "split": ""})
    found = {kind.reason: len(kind.videos) for kind in summary.rejections}
    assert found == {"a is wrong": 1, "b is wrong": 1, "c is wrong": 1, "other reasons": 3}


def test_a_short_shot_leaves_its_video_usable() -> None:
    summary = Summary(shown=1, sampled=1, seed=0)
    row = {"id": "", "source": "a", "status": "dropped", "split": ""}
    summary.add({**row, "shot": 1, "reason": "too short a shot: 3 frames, 20 are needed"})
    assert not summary.unusable
    summary.add({**row, "shot": None, "source": "b", "reason": "the file is empty"})
    assert summary.unusable == {"b"}


# Bad input ------------------------------------------------------------------------------------------------------------


def broken(dataset: Path, folder: Path, name: str, content: bytes | None) -> Path:
    """A copy of the dataset with another content of one file, or without it."""
    copy = write_dataset(folder / "broken")
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    return copy


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.csv", None, "manifest.csv: no such file; make the dataset folder with python -m data.prepare"),
        ("manifest.csv", b"id,source\n", "manifest.csv: line 1: no column 'source_sha256'"),
        ("manifest.csv", b"", "manifest.csv: line 1: no column 'id'"),
        ("manifest.csv", b"\xff\xfe", "manifest.csv: line 1: 'utf-8' codec can't decode"),
        ("stats.json", None, "stats.json: no such file; run data.prepare again"),
        ("stats.json", b"{", "stats.json: not statistics"),
        ("stats.json", b'{"format_version": 7}', "stats.json: format version 7, this program reads 1"),
        ("parameters.json", b"[]", "parameters.json: not the options of a dataset folder"),
        ("sequences/s1.safetensors", None, "s1.safetensors: no such file; run data.prepare again"),
        ("sequences/s1.safetensors", b"x" * 100, "s1.safetensors: not a whole safetensors file"),
    ],
)
def test_a_damaged_folder_is_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str, content: bytes | None, message: str
) -> None:
    folder = broken(dataset, tmp_path, name, content)
    (folder / "report.html").write_text("the page of before")
    assert main([str(folder)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert (folder / "report.html").read_text() == "the page of before"
    assert not list(folder.glob(".*"))


def test_a_wrong_number_is_named_with_its_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    copy = write_dataset(tmp_path / "copy", kept=2)
    lines = (copy / "manifest.csv").read_text().splitlines()
    lines[2] = lines[2].replace(f",{NUM_FRAMES},", ",many,", 1)
    (copy / "manifest.csv").write_text("\n".join(lines) + "\n")
    assert main([str(copy)]) == 2
    assert "manifest.csv: line 3: invalid literal for int() with base 10: 'many'" in capsys.readouterr().err


def test_folders_that_are_none_are_named(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such folder; make the dataset with python -m data.prepare" in capsys.readouterr().err
    assert main([str(dataset), "--output", str(tmp_path)]) == 2
    assert "is a folder; name a file in it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(dataset), "--sequences", "0"])
    assert "'0' is not a whole number above 0" in capsys.readouterr().err
