"""The rendering table that training watches: the figures are those of the real table, the choice is spread."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from data.media.read_video import scan_video
from evaluation.sequences import load_sequences
from evaluation.tables.rendering_scores import RenderingTable, SequenceFrames, frame_measures
from models.rendering.config import PRESETS
from models.rendering.model import FrameSynthesisModel
from training.renderer.validation import ROWS, RendererValidation, format_table, spread, take

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> FrameSynthesisModel:
    torch.manual_seed(0)
    return FrameSynthesisModel(PRESETS["tiny"]).eval()


def test_with_all_stored_frames_it_is_the_rendering_table(small_dataset: Path, model: FrameSynthesisModel) -> None:
    validation = RendererValidation([small_dataset], None, device=CPU, sequences=99, frames=99)
    table = validation.table(model)
    assert tuple(table) == ROWS
    expected = RenderingTable(ROWS, model=model, measures=frame_measures(None), device=CPU, stored=True)
    sequences = load_sequences(small_dataset, "validation")
    expected.run(sequences)
    for row in ROWS:
        scores = expected.scores[row].values()
        for metric in ("psnr", "ssim"):
            mean = sum(values[metric] for values in scores) / len(sequences)
            assert table[row][metric] == pytest.approx(mean, rel=1e-6)
        assert "lpips" not in table[row]
    assert validation.frames == expected.rendered_frames
    assert format_table(table).splitlines()[0].startswith("model ")


def test_a_distance_is_taken_of_every_row(small_dataset: Path, model: FrameSynthesisModel) -> None:
    def distance(frames: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (frames - targets).abs().mean((1, 2, 3))

    validation = RendererValidation([small_dataset], distance, device=CPU, sequences=1, frames=2)
    table = validation.table(model)
    assert validation.frames == 2
    assert all(0 < values["lpips"] < 1 for values in table.values())
    assert "LPIPS" in format_table(table)


def test_video_and_picture_show_the_rows(small_dataset: Path, model: FrameSynthesisModel, tmp_path: Path) -> None:
    validation = RendererValidation([small_dataset], None, device=CPU)
    validation.write_video(tmp_path, "end", model)
    stored = load_sequences(small_dataset, "validation")[0].row["stored_frames"]
    video = scan_video(tmp_path / "end.mp4")
    assert (video.num_frames, video.width) == (stored, 4 * 64)
    validation.write_picture(tmp_path / "end.png", model)
    assert (tmp_path / "end.png").read_bytes().startswith(b"\x89PNG")


@dataclass
class Named:
    source: str
    id: str


def test_sequences_are_taken_from_folders_and_videos_in_turn() -> None:
    first = [Named("a", "a0"), Named("a", "a1"), Named("b", "b0")]
    second = [Named("c", "c0"), Named("c", "c1"), Named("c", "c2")]
    assert [s.id for s in spread([first, second], 4)] == ["a0", "c0", "b0", "c1"]
    assert [s.id for s in spread([first, second], 99)] == ["a0", "c0", "b0", "c1", "a1", "c2"]


def test_frames_are_the_middles_of_equal_stretches() -> None:
    numbers = torch.arange(12).view(12, 1, 1, 1)
    frames = SequenceFrames(numbers[0], numbers, numbers.float(), numbers[:1].float())
    assert take(frames, 3).targets.flatten().tolist() == [2, 6, 10]
    assert take(frames, 3).flows.flatten().tolist() == [2, 6, 10]
    assert len(take(frames, 99).targets) == 12
