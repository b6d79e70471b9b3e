from __future__ import annotations

import numpy as np
import pytest

from data.media.sheets import LABEL_HEIGHT, labelled_sheet, labelled_video

pytest.importorskip("moviepy", reason="needs moviepy (requirements.txt)")


def test_labelled_sheet_puts_cells_row_by_row_under_their_labels() -> None:
    cells = {f"cell {value}": np.full((10, 60, 3), value, np.uint8) for value in (50, 100, 150)}
    sheet = labelled_sheet(cells, columns=2)
    assert sheet.shape == (2 * (10 + LABEL_HEIGHT), 120, 3)
    assert (sheet[LABEL_HEIGHT : LABEL_HEIGHT + 10, :60] == 50).all()
    assert (sheet[LABEL_HEIGHT : LABEL_HEIGHT + 10, 60:] == 100).all()
    assert (sheet[-10:, :60] == 150).all()
    assert not sheet[-10 - LABEL_HEIGHT :, 60:].any()
    assert (sheet[:LABEL_HEIGHT, :60] > 150).any()  # the label


def test_labelled_video_plays_all_frames_and_stays_at_the_end_of_shorter_videos() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 9, 30, 3), dtype=np.uint8)
    shown = np.stack(list(labelled_video({"long": frames, "short": list(frames[:3])}, columns=2)))
    assert shown.shape == (7, 9 + LABEL_HEIGHT, 60, 3)
    assert np.array_equal(shown[:, LABEL_HEIGHT:, :30], frames)
    assert np.array_equal(shown[:, LABEL_HEIGHT:, 30:], frames[[0, 1, 2, 2, 2, 2, 2]])


def test_a_long_label_ends_where_its_picture_does() -> None:
    pixels = np.zeros((8, 40, 3), np.uint8)
    sheet = labelled_sheet({"much longer than its picture is wide": pixels, "": pixels}, columns=2)
    assert sheet[:, :40].any()
    assert not sheet[:, 40:].any()
