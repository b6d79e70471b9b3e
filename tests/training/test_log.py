from pathlib import Path

import numpy as np
import pytest

from training import log as training_log


def test_log_drops_rows_of_steps_that_are_redone_and_half_written_ones(tmp_path: Path) -> None:
    log = training_log.CsvLog(tmp_path / "log.csv", ("loss", "rate"))
    for step in (1, 2, 3):
        log.append(step, {"loss": step / 10, "rate": 1.0})
    with log.path.open("a") as file:
        file.write("2,0.")  # where a killed process stopped
    again = training_log.CsvLog(tmp_path / "log.csv", ("loss", "rate"), step=2)
    again.append(3, {"loss": 0.7})
    assert [row["loss"] for row in training_log.read_csv(tmp_path / "log.csv")] == ["0.1", "0.2", "0.7"]
    training_log.plot_log(tmp_path / "log.csv", tmp_path / "loss.png", ("loss",))
    assert (tmp_path / "loss.png").stat().st_size > 1000
    training_log.CsvLog(tmp_path / "log.csv", ("loss",))
    assert training_log.read_csv(tmp_path / "log.csv") == []


def test_tensorboard_holds_scalars_and_pictures_and_hides_redone_steps(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = training_log.TensorBoardLog(tmp_path)
    for step in (1, 2, 3):
        log.append(step, {"loss": step / 2})
    log.picture(2, "samples", np.zeros((4, 6, 3), np.uint8))
    log.close()
    again = training_log.TensorBoardLog(tmp_path, step=2)
    again.append(3, {"loss": 9.0})
    again.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 1.0), (3, 9.0)]
    assert [event.step for event in events.Images("samples")] == [2]


def test_missing_tensorboard_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        training_log.summary_writer()
