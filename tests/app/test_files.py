"""Names, sizes and checks of the files that generate.py makes."""

from pathlib import Path

import numpy as np
import pytest

from app.files import FrameRecorder, LoopFiles, loop_paths, plan_files
from app.options import FileOptions, Rendering
from data.media.images import read_image, write_image
from data.media.read_video import read_video


def plan(photos, output, **options) -> list[LoopFiles]:
    return plan_files(photos, FileOptions(output, **options))


def test_where_the_loop_goes(tmp_path):
    photo = Path("pictures/rose.jpg")
    assert loop_paths([photo], None) == [Path("outputs/rose.mp4")]
    assert loop_paths([photo], "a/b.gif") == [Path("a/b.gif")]
    assert loop_paths([photo], "loops") == [Path("loops/rose.mp4")]
    assert loop_paths([photo], "Trip: Rome/") == [Path("Trip: Rome/rose.mp4")]
    (tmp_path / "v1.0").mkdir()
    assert loop_paths([photo, Path("oak.jpg")], str(tmp_path / "v1.0"))[0] == tmp_path / "v1.0" / "rose.mp4"
    with pytest.raises(ValueError, match="need a folder"):
        loop_paths([photo, Path("oak.jpg")], "b.gif")


@pytest.mark.parametrize(
    ("photos", "names"),
    [
        (["rose.jpg", "Rose.png", "oak.jpg"], ["rose_jpg", "Rose_png", "oak"]),
        (["a/rose.jpg", "b/rose.jpg"], ["a_rose", "b_rose"]),
        (["a/rose.jpg", "b/rose.jpg", "b/rose.png"], ["a_rose_jpg", "b_rose_jpg", "b_rose_png"]),
        (["x/a/rose.jpg", "y/a/rose.jpg"], ["rose_1", "rose_2"]),
        (["rose.jpg", "rose.png", "rose_jpg.jpg"], ["rose_jpg", "rose_png", "rose_jpg_1"]),
    ],
)
def test_photos_of_one_name_do_not_take_each_others_place(photos, names):
    assert loop_paths([Path(photo) for photo in photos], "loops") == [Path(f"loops/{name}.mp4") for name in names]


def test_frame_size_defaults_to_even_sides_of_at_most_512():
    assert Rendering().frame_size((640, 427)) == (512, 342)
    assert Rendering().frame_size((3000, 4000)) == (384, 512)
    assert Rendering().frame_size((101, 75)) == (100, 76)  # not enlarged
    assert Rendering(long_side=256).frame_size((1000, 500)) == (256, 128)
    assert Rendering(size="native").frame_size((641, 427)) == (641, 427)
    assert Rendering(size="256x160").frame_size((641, 427)) == (256, 160)
    for wrong in ("big", "0x10", "8x600", "9000x9000"):
        with pytest.raises(ValueError, match="--size"):
            Rendering(size=wrong)


def test_pictures_beside_the_loop_carry_its_name(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((20, 30, 3), np.uint8))
    (files,) = plan([tmp_path / "a.png"], "x/loop.mp4", preview="gif", show_motion=True, xt_slice=19)
    names = [path.name for path in files.outputs()]
    assert names == ["loop.mp4", "loop_preview.gif", "loop_motion.png", "loop_xt.png"]
    files.check_row(20)
    with pytest.raises(ValueError, match="rows 0 to 18"):
        files.check_row(19)
    with pytest.raises(ValueError, match=r"\.avi"):
        plan([tmp_path / "a.png"], "x/loop.avi")


def test_recorder_passes_frames_on_and_keeps_what_is_wanted(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (60, 40, 800, 3), dtype=np.uint8)
    beside = {"preview": tmp_path / "p.gif", "xt_slice": tmp_path / "x.png", "row": 7}
    files = LoopFiles(Path("a"), tmp_path / "a.mp4", **beside)
    recorder = FrameRecorder(files, (800, 40), num_frames=len(frames), fps=30.0)
    assert all(np.array_equal(seen, frame) for seen, frame in zip(recorder.watch(frames), frames, strict=True))
    recorder.write()
    assert np.array_equal(read_image(tmp_path / "x.png"), frames[:, 7])
    preview, fps = read_video(tmp_path / "p.gif")
    assert preview.shape == (30, 18, 360, 3)
    assert fps == pytest.approx(15, rel=0.07)  # a GIF's delays are whole centiseconds


def test_recorder_spaces_a_previews_frames_evenly():
    files = LoopFiles(Path("a"), Path("a.mp4"), preview=Path("p.gif"))
    recorder = FrameRecorder(files, (32, 32), num_frames=150, fps=24.0)
    list(recorder.watch(np.zeros((150, 32, 32, 3), np.uint8)))
    assert len(recorder.preview) == 94
    assert recorder.preview_fps * 150 / 24 == pytest.approx(94)
