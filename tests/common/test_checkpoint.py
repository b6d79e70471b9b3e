"""Checkpoint folders: written whole, read strictly, refused in one line."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from common import checkpoint


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def test_checkpoint_round_trip_in_half_precision(tmp_path):
    model = small_model()
    checkpoint.save_checkpoint(
        tmp_path / "c",
        "motion",
        model_config={"width": 4},
        tensors=model.state_dict(),
        training={"steps": 1},
        dtype=torch.float16,
    )
    config, tensors = checkpoint.load_checkpoint(tmp_path / "c", "motion")
    assert config["model"] == {"width": 4}
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    other = small_model(1)
    checkpoint.load_weights(other, tensors, "c")
    torch.testing.assert_close(other[0].weight, model[0].weight, atol=1e-3, rtol=1e-3)
    assert not list((tmp_path / "c").glob(".*"))
    (tmp_path / "plain").touch()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "plain", tmp_path / "c" / "model.safetensors")}
    assert len(modes) == 1  # readable like any other file


def write_config(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    values = {"format_version": 1, "kind": "motion", "model": {}, "training": {}} | changes
    (folder / "config.json").write_text(json.dumps(values))


def test_wrong_checkpoints_are_named_in_one_line(tmp_path):
    def message(folder):
        with pytest.raises(ValueError, match=r"\S") as caught:
            checkpoint.load_checkpoint(folder, "motion")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "config.json is missing" in message(tmp_path / "nowhere")
    write_config(tmp_path / "kind", kind="frame_synthesis")
    assert "'frame_synthesis' where one of kind 'motion'" in message(tmp_path / "kind")
    write_config(tmp_path / "version", format_version=99)
    assert "format version 99" in message(tmp_path / "version")
    write_config(tmp_path / "weights")
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"not tensors")
    assert "damaged" in message(tmp_path / "weights")
    (tmp_path / "weights" / "config.json").write_text("{")
    assert "not valid JSON" in message(tmp_path / "weights")


def save(folder, model, **options):
    training = {"steps": 1}
    checkpoint.save_checkpoint(
        folder, "motion", model_config={}, tensors=model.state_dict(), training=training, **options
    )


def test_a_checkpoint_leaves_out_what_the_one_it_is_based_on_has(tmp_path):
    teacher, student = small_model(), small_model()
    save(tmp_path / "teacher", teacher, dtype=torch.float16)
    checkpoint.load_weights(student, checkpoint.load_checkpoint(tmp_path / "teacher", "motion")[1], "teacher")
    with torch.no_grad():
        student[2].bias.add_(1)
    save(tmp_path / "student", student, dtype=torch.float16, base=tmp_path / "teacher")
    assert list(load_file(tmp_path / "student" / "model.safetensors")) == ["2.bias"]
    found = checkpoint.load_checkpoint(tmp_path / "student", "motion")[1]
    assert found.keys() == student.state_dict().keys()
    torch.testing.assert_close(found["2.bias"], student[2].bias.detach(), atol=1e-3, rtol=1e-3)
    assert torch.equal(found["0.weight"], student[0].weight)
    (tmp_path / "teacher").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"student/config\.json: base: .*teacher is missing"):
        checkpoint.load_checkpoint(tmp_path / "student", "motion")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("../c", "not the name of a folder beside"),
        ("..", "not the name of a folder beside"),
        ("", "not the name of a folder beside"),
        ("c", "itself based on another"),
        (7, "base is 7, expected a text"),
    ],
)
def test_a_base_is_a_checkpoint_of_its_own_beside_the_other(tmp_path, base, message):
    save(tmp_path / "c", small_model())
    write_config(tmp_path / "c", base=base)
    with pytest.raises(ValueError, match=message):
        checkpoint.load_checkpoint(tmp_path / "c", "motion")
    with pytest.raises(ValueError, match="has to lie beside it"):
        save(tmp_path / "x" / "y", small_model(), base=tmp_path / "c")


class Scaled(nn.Module):
    """A layer beside a constant that no checkpoint stores: a buffer, or a tensor that is no buffer."""

    def __init__(self, constant: str) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
        if constant == "buffer":
            self.register_buffer("factor", torch.full((), 3.0), persistent=False)
        elif constant == "attribute":
            self.factor = torch.full((), 3.0)


@pytest.mark.parametrize("constant", ["none", "buffer", "attribute"])
def test_a_model_is_built_with_its_weights_its_constants_and_its_layout_in_memory(constant):
    weights = {name: t.contiguous() for name, t in Scaled(constant).state_dict().items()}
    model = checkpoint.build_fitting(lambda: Scaled(constant), weights, "file")
    assert all(torch.equal(t, weights[name]) for name, t in model.state_dict().items())
    assert model.layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.layer.weight.requires_grad
    if constant != "none":
        assert model.factor == 3


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="tensors don't fit"):
        checkpoint.load_weights(small_model(), {"0.weight": torch.zeros(4, 3)}, "file")
