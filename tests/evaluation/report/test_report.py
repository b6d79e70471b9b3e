import csv
import hashlib
import json
from pathlib import Path

import pytest
import torch
from helpers.example_reports import NO_DTI3D, example

from common.command_line import write_json
from common.hashing import content_hash
from common.tensor_files import save_tensors
from evaluation.report.report import checkpoint_provenance, data_provenance, read_report, weights_provenance, write_csv
from evaluation.report.text import format_table
from evaluation.sequences import EvaluationSequence
from models.checkpoints import PRETRAINED

# Provenance -----------------------------------------------------------------------------------------------------------


def sequence(folder: Path, name: str, **changes) -> EvaluationSequence:
    row = {"id": name, "source": f"{name[0]}.mp4", "source_sha256": "12", "start": 0, "fps": 30.0, "num_frames": 150}
    return EvaluationSequence(folder, row | {"width": 256, "height": 160, "estimator": "dis"} | changes)


def test_data_provenance_counts_and_identifies_the_sequences(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("id\n")
    first, second = sequence(tmp_path, "a_0"), sequence(tmp_path, "a_1", start=10, num_frames=140)
    data = data_provenance(tmp_path, "test", sequences=[first, second, sequence(tmp_path, "b_0")])
    assert (data["name"], data["split"], data["sequences"], data["sources"]) == (tmp_path.name, "test", 3, 2)
    assert data["size"] == [256, 160]
    assert data["num_frames"] == [140, 150]
    assert data["manifest_sha256"] == hashlib.sha256(b"id\n").hexdigest()
    assert data["identities"]["a_0"]["source"] == "a.mp4"
    # Where a sequence's name, split and statistics change, it is still the same one; other frames or flow are not.
    same = sequence(tmp_path, "other", split="test", rms_amplitude=3.0)
    others = [sequence(tmp_path, "x", start=1), sequence(tmp_path, "y", estimator="coarse2fine")]
    identities = data_provenance(tmp_path, "test", sequences=[first, same, *others])["identities"]
    prints = [identities[name]["fingerprint"] for name in ("a_0", "other", "x", "y")]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_data_provenance_refuses_no_sequences_and_mixed_sizes(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("id\n")
    with pytest.raises(ValueError, match=r"no sequences in the split 'test'"):
        data_provenance(tmp_path, "test", sequences=[])
    mixed = [sequence(tmp_path, "a"), sequence(tmp_path, "b", width=128)]
    with pytest.raises(ValueError, match=r"manifest\.csv: .*128x160, 256x160"):
        data_provenance(tmp_path, "test", sequences=mixed)


def test_checkpoint_provenance_hashes_what_is_loaded(tmp_path: Path) -> None:
    config = {"format_version": 1, "kind": "motion", "model": {}}
    write_json(tmp_path / "config.json", config)
    save_tensors(tmp_path / "model.safetensors", {"x": torch.zeros(2)})
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "optimizer.safetensors").write_bytes(b"not part of it")
    found = checkpoint_provenance(tmp_path)
    names = ["motion/config.json", "motion/model.safetensors", "frame_synthesis/config.json"]
    assert list(found["files"]) == [*names, "frame_synthesis/model.safetensors"]
    expected = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert found["files"]["motion/model.safetensors"] == expected
    assert found["defaults"] == ["frame_synthesis"]
    assert found["name"] == tmp_path.name
    assert checkpoint_provenance(tmp_path, ["motion"])["defaults"] == []
    own = checkpoint_provenance(PRETRAINED, ["motion"])
    assert own["defaults"] == []
    assert "motion/motion_teacher/model.safetensors" in own["files"], "the weights that the student shares"
    with pytest.raises(ValueError, match="no such checkpoint folder"):
        checkpoint_provenance(tmp_path / "nowhere")


def test_weights_provenance_knows_missing_weights_from_wrong_ones(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tensors = {"x": torch.arange(3.0)}
    save_tensors(tmp_path / "dti3d_16.safetensors", tensors)  # nobody has published a hash of these
    hashes = weights_provenance(["dti3d_16", "dti3d_32"], tmp_path)
    assert hashes == {"dti3d_16": content_hash(tensors), "dti3d_32": None}
    save_tensors(tmp_path / "lpips_alexnet.safetensors", tensors)
    with pytest.raises(ValueError, match="not the published LPIPS AlexNet weights"):
        weights_provenance(["lpips_alexnet"], tmp_path)


# Files ----------------------------------------------------------------------------------------------------------------


def test_reports_survive_writing_and_reading(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", example())
    assert read_report(tmp_path / "r.json") == example()


BAD_REPORTS = {
    "no such report": None,
    "not JSON": "{",
    "it holds NaN": '{"kind": "motion", "table": {"model": {"fvd": NaN}}}',
    "not a report of a table": '{"kind": "comparison", "table": {}}',
    "not a report of": "[1, 2]",
    "format version 2, this program reads 1": '{"format_version": 2, "kind": "motion", "table": {}}',
    "damaged report, 'table'": '{"format_version": 1, "kind": "motion", "table": {"model": {"fvd": "12"}}}',
    "damaged report, 'intervals'": (
        '{"format_version": 1, "kind": "motion", "table": {}, "intervals": {"model": {"fvd": [1]}}}'
    ),
    "damaged report, 'data'": (
        '{"format_version": 1, "kind": "motion", "table": {}, "data": {"identities": {"a": {"source": 3}}}}'
    ),
}


@pytest.mark.parametrize("problem", BAD_REPORTS)
def test_unusable_reports_are_refused_in_one_line(problem: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    if (text := BAD_REPORTS[problem]) is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=problem) as error:
        read_report(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_csv_has_a_line_for_each_sequence_and_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "new" / "per_sequence.csv", example())
    lines = list(csv.DictReader((tmp_path / "new" / "per_sequence.csv").open()))
    assert len(lines) == 3
    assert lines[0] == {
        **{"sequence": "a_00000", "source": "a.mp4", "row": "model"},
        **{"localisation": "0.4", "seam": "1.25"},
    }
    assert lines[1]["localisation"] == ""
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["per_sequence.csv"]


# Tables ---------------------------------------------------------------------------------------------------------------


def test_table_shows_intervals_counts_notes_and_warnings() -> None:
    lines = format_table(example(), 200).splitlines()
    assert lines[0] == "motion on trees (test): 3 sequences of 2 videos, 256x160"
    assert lines[2].split() == ["fvd", "dtfvd", "localisation"]
    assert lines[3].split(maxsplit=1) == ["model", "150.2 ± 10.0 (N=189)      -  0.500 [0.400, 0.700]"]
    assert lines[4].split() == ["repeat", "275.0", "(N=180)", "-", "-"]
    assert len({len(line) for line in lines[2:5]}) == 1, "columns are not aligned"
    ratio = lines.index("ratio to repeat")
    assert lines[ratio + 2].split() == ["model", "0.546", "-"]
    assert lines[-4:] == [
        "localisation: N=3",
        f"dtfvd: {NO_DTI3D}",
        "localisation (repeat): has no motion",
        "warning: fvd: 189 samples are fewer than the 400 features",
    ]


def test_bootstrap_intervals_are_never_plus_minus() -> None:
    """They may lie evenly about a mean by chance, and one column shall not mix both."""
    report = {"table": {"model": {"psnr": 28.0}}, "intervals": {"model": {"psnr": [27.0, 29.0]}}}
    assert format_table(report).endswith("28.00 [27.00, 29.00]")


def test_narrow_tables_go_on_below() -> None:
    lines = format_table(example(), 40).splitlines()
    assert [line.split() for line in lines if line.startswith(" ")][:2] == [["fvd", "dtfvd"], ["localisation"]]
    assert sum(line.startswith("model ") for line in lines) == 3  # and in the ratios
    assert max(len(line) for line in lines[2:9]) <= 40


def test_small_values_keep_two_digits() -> None:
    report = {"kind": "rendering", "table": {"model": {"lpips": 0.00012345, "psnr": 28.7149, "ssim": 0.0}}}
    assert format_table(report).splitlines()[-1].split() == ["model", "0.00012", "28.71", "0.0000"]


def test_table_of_a_report_without_details_is_just_values() -> None:
    report = json.loads('{"kind": "ablation", "table": {"K = 4": {"own_metric": 1.5}, "K = 8": {"own_metric": null}}}')
    assert format_table(report, 80).splitlines()[2:] == [
        "       own_metric",
        "K = 4       1.500",
        "K = 8           -",
    ]
