"""generate.py from the command line, with tiny untrained models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.places import ROOT
from PIL import Image

import evaluate
import generate
from data.media.read_video import read_video
from data.media.sheets import LABEL_HEIGHT
from models.choices import DEFAULT_STEPS, WARPS
from models.dynamics.motion_file import MotionFile
from models.motion.config import MotionConfig
from models.rendering.model import FrameSynthesisModel

QUICK = ["--steps", "2", "--num-frames", "6", "--fps", "6"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a photo in it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(64, 48)).save("photo.png")
    return tmp_path


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / 12
    return (127 + 120 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)).astype(np.uint8)


def run(checkpoint: Path, *arguments: str) -> int:
    return generate.main([*arguments, "--checkpoint", str(checkpoint), *QUICK, "--device", "cpu"])


def error_line(capsys: pytest.CaptureFixture) -> str:
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_photo_alone_makes_a_loop_in_outputs(checkpoint, folder, capsys):
    assert run(checkpoint, "photo.png") == 0
    assert names(folder) == ["outputs", "outputs/photo.mp4", "photo.png"]
    frames, fps = read_video("outputs/photo.mp4")
    assert frames.shape == (6, 48, 64, 3)
    assert fps == pytest.approx(6)
    told = capsys.readouterr().out
    for word in ("outputs/photo.mp4", "seam ratio", "load", "motion", "upsample", "render", "write"):
        assert word in told


def test_everything_that_can_be_made_is_made(checkpoint, folder):
    made = ["--save-motion", "m/sway.safetensors", "--show-motion", "--xt-slice", "7", "--preview", "gif"]
    assert run(checkpoint, "photo.png", "-o", "new/loop.png", *made, "--report", "report.json") == 0
    beside = ["new/loop.png", "new/loop_motion.png", "new/loop_preview.gif", "new/loop_xt.png"]
    assert names(folder) == ["m", "m/sway.safetensors", "new", *beside, "photo.png", "report.json"]
    with Image.open("new/loop_xt.png") as xt_slice:
        assert xt_slice.size == (64, 6)
        assert np.array_equal(np.asarray(xt_slice)[0], picture(64, 48)[7])  # frame 0 is the photo
    report = json.loads(Path("report.json").read_text())
    (result,) = report["results"]
    assert [str(Path(path)) for path in result["outputs"]] == [
        *beside[:1],
        beside[2],
        beside[1],
        beside[3],
        "m/sway.safetensors",
    ]
    assert result["size"] == [64, 48]
    assert result["seam_ratio"] < 4
    assert set(report["seconds"]) == {"load", "motion", "upsample", "render", "write"}


def test_a_motion_file_gives_the_same_frames_again(checkpoint, folder):
    assert run(checkpoint, "photo.png", "-o", "first.png", "--save-motion", "sway.safetensors") == 0
    assert run(checkpoint, "photo.png", "-o", "again.png", "--motion", "sway.safetensors", "--seed", "9") == 0
    assert Path("first.png").read_bytes() == Path("again.png").read_bytes()
    assert run(checkpoint, "photo.png", "-o", "other.png", "--seed", "9") == 0
    assert Path("first.png").read_bytes() != Path("other.png").read_bytes()
    stored = MotionFile.read("sway.safetensors")
    assert (stored.num_frames, stored.fps, stored.photo_size) == (150, 30.0, (64, 48))


def test_magnify_and_slow(checkpoint, folder, capsys):
    assert run(checkpoint, "photo.png", "-o", "still.png", "--magnify", "0", "--slow", "1.5") == 0
    assert "hardly anything moves, so no seam can be seen" in capsys.readouterr().out
    with Image.open("still.png") as animation:
        assert animation.n_frames == 2  # equal frames are joined, but for two that last as long as all
        assert np.array_equal(np.asarray(animation), picture(64, 48))
    assert run(checkpoint, "photo.png", "-o", "slow.mp4", "--slow", "1.5", "--report", "r.json") == 0
    assert len(read_video("slow.mp4")[0]) == 9
    assert json.loads(Path("r.json").read_text())["results"][0]["speed"] == pytest.approx(5 / 1.5)


def test_motion_of_another_photo(checkpoint, folder, capsys):
    assert run(checkpoint, "photo.png", "-o", "a.mp4", "--save-motion", "sway.safetensors") == 0
    Image.fromarray(picture(128, 96)[::-1]).save("similar.png")
    Image.fromarray(picture(48, 64)).save("upright.png")
    capsys.readouterr()
    assert run(checkpoint, "similar.png", "-o", "b.mp4", "--motion", "sway.safetensors") == 0
    assert "warning: similar.png: not the file" in capsys.readouterr().err
    assert run(checkpoint, "upright.png", "-o", "c.mp4", "--motion", "sway.safetensors") == 2
    assert "aspect ratio" in error_line(capsys)
    assert not Path("c.mp4").exists()


def test_several_photos_go_to_a_folder(checkpoint, folder, capsys):
    Image.fromarray(picture(40, 60)).save("tall.jpg")
    assert run(checkpoint, "photo.png", "tall.jpg", "-o", "loops", "--renderer", "softmax") == 0
    assert names(folder / "loops") == ["photo.mp4", "tall.mp4"]
    assert read_video("loops/tall.mp4")[0].shape[1:] == (60, 40, 3)
    capsys.readouterr()
    assert run(checkpoint, "photo.png", "tall.jpg", "-o", "loop.mp4") == 2
    assert "need a folder" in error_line(capsys)


@pytest.mark.parametrize("renderer", sorted(WARPS))
def test_renderers_without_weights(checkpoint, folder, renderer):
    """A bare motion checkpoint is enough where the renderer has no weights."""
    assert run(checkpoint / "motion", "photo.png", "-o", "a.gif", "--renderer", renderer) == 0
    assert read_video("a.gif")[0].shape == (6, 48, 64, 3)


def test_defaults_agree_with_the_models():
    for parser, needed in ((generate.build_parser(), ["p"]), (evaluate.build_parser(), ["motion", "--data", "d"])):
        defaults = parser.parse_args(needed)
        for name in ("steps", "guidance"):  # what the model's configuration says
            assert getattr(defaults, name) is None
    assert MotionConfig.steps == DEFAULT_STEPS


def test_the_command_line_becomes_options():
    def options(*arguments: str):
        return generate.read_options(generate.build_parser().parse_args(["p.jpg", *arguments]))

    loop, files = options("--seed", "3", "--magnify", "2", "--size", "64x48", "--xt-slice", "0")
    assert (loop.sampling.seed, loop.playing.magnify, loop.rendering.frame_size((9, 9))) == (3, 2.0, (64, 48))
    assert (loop.playing.num_frames, loop.playing.pokes, files.xt_slice) == (150, (), 0)
    poked, _ = options("--poke", "1,2,3,4@5")
    assert poked.playing.num_frames is None  # until all is at rest
    assert (poked.playing.pokes[0].point, poked.playing.pokes[0].time) == ((1, 2), 5)
    with pytest.raises(ValueError, match="nothing is sampled with --motion"):
        options("--motion", "a.safetensors", "--save-motion", "b.safetensors")


def save_gray16(path: str) -> None:
    Image.fromarray(picture(64, 48)[..., 0].astype(np.uint16) * 257).save(path)


def save_turned(path: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright, stored lying
    Image.fromarray(picture(64, 48)).save(path, exif=exif)


@pytest.mark.parametrize(
    ("save", "size"),
    [
        (save_gray16, (48, 64)),
        (lambda path: Image.fromarray(picture(64, 48)).convert("L").save(path), (48, 64)),
        (lambda path: Image.fromarray(picture(64, 48)).convert("P").save(path), (48, 64)),
        (lambda path: Image.fromarray(picture(64, 48)).convert("RGBA").save(path), (48, 64)),
        (save_turned, (64, 48)),
        (lambda path: Image.fromarray(picture(17, 95)).save(path), (96, 16)),
    ],
    ids=["gray16", "gray", "palette", "rgba", "exif", "odd"],
)
def test_photos_of_every_kind(checkpoint, folder, save, size):
    save("kind.png")
    assert run(checkpoint, "kind.png", "-o", "a.mp4", "--renderer", "remap") == 0
    assert read_video("a.mp4")[0].shape == (6, *size, 3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["photo.png", "-o", "a.avi"], "a.avi: unknown suffix"),
        (["missing.png"], "missing.png: no such image"),
        (["text.png"], "text.png: not an image"),
        (["cut.png"], "cut.png: damaged image"),
        (["photo.png", "-o", "text.png/a.mp4"], "is a file, not a folder"),
        (["photo.png", "-o", "photo.png"], "over an input"),
        (["photo.png", "--report", "outputs/photo.mp4"], "written twice"),
        (["photo.png", "--steps", "0"], "--steps 0: expected 1 to 1000"),
        (["photo.png", "--fps", "nan"], "--fps nan"),
        (["photo.png", "--num-frames", "1"], "--num-frames 1"),
        (["photo.png", "--size", "wide"], "--size 'wide' is not WIDTHxHEIGHT"),
        (["photo.png", "--xt-slice", "48"], "rows 0 to 47"),
        (["photo.png", "--motion", "none.safetensors"], "no such motion file"),
        (["photo.png", "--motion", "text.png"], "not a motion file"),
        (["photo.png", "--save-motion", "sway.pt"], "must end in .safetensors"),
        (["photo.png", "text.png", "--save-motion", "a.safetensors"], "belong to one photo"),
        (["photo.png", "--mask", "text.png"], "text.png: not an image"),
        (["photo.png", "--still", "200,10,5"], "lies outside the photo"),
        (["photo.png", "text.png", "--move", "20,10,5"], "belong to one photo"),
        (["https://example.org/photo.png"], "https://example.org/photo.png: an address; download the picture"),
        (["photo.png", "-o", "-", "--preview", "gif"], "name their files after OUT"),
        (["photo.png", "-o", "-", "--variations", "2"], "--variations and --pick name their files after OUT"),
        (["photo.png", "--variations", "3", "--seed", str(2**32 - 2)], "--seed 4294967294: expected 0 to 4294967293"),
        (["photo.png", "-o", "-", "--pick", "2"], "--variations and --pick name their files after OUT"),
    ],
)
def test_what_cannot_work_is_one_line_and_leaves_nothing(checkpoint, folder, capsys, arguments, complaint):
    Path("text.png").write_text("no picture")
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:200])
    before = names(folder)
    assert generate.main(["--checkpoint", str(checkpoint), *QUICK, *arguments]) == 2
    assert complaint in error_line(capsys)
    assert names(folder) == before


def test_of_a_folder_every_good_photo_is_made_and_the_others_are_listed(checkpoint, folder, capsys):
    (folder / "trip" / "below").mkdir(parents=True)
    for name in ("oak.png", "oak.jpg", "below/fern.png"):
        Image.fromarray(picture(32, 32)).save(folder / "trip" / name)
    (folder / "trip" / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (folder / "trip" / "notes.txt").write_text("no picture, and not asked for")
    command = ["trip", "missing.png", "-o", "loops", "--renderer", "remap", "--report", "report.json"]
    assert run(checkpoint, *command) == 1
    assert names(folder / "loops") == ["fern.mp4", "oak_jpg.mp4", "oak_png.mp4"]
    listed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in listed] == ["trip/damaged.jpg", "missing.png"]
    report = json.loads(Path("report.json").read_text())
    assert (len(report["results"]), [one["photo"] for one in report["failures"]]) == (
        3,
        ["trip/damaged.jpg", "missing.png"],
    )


def test_loops_that_are_there_are_not_made_again(checkpoint, folder, capsys):
    Image.fromarray(picture(32, 32)).save("oak.png")
    Path("loops").mkdir()
    Path("loops/oak.mp4").write_bytes(b"of yesterday")
    assert run(checkpoint, "photo.png", "oak.png", "-o", "loops", "--renderer", "remap", "--skip-existing") == 0
    assert Path("loops/oak.mp4").read_bytes() == b"of yesterday"
    assert read_video("loops/photo.mp4")[0].shape == (6, 48, 64, 3)
    assert "1 of 2 photos have their files already" in capsys.readouterr().out


def test_a_folder_with_the_pictures_of_an_earlier_run_is_animated_again(checkpoint, folder, capsys):
    pictures = ["--preview", "webp", "--show-motion", "--xt-slice", "5"]
    assert run(checkpoint, ".", "-o", ".", "--renderer", "remap", *pictures) == 0
    there = names(folder)
    assert len(there) == 5
    assert run(checkpoint, ".", "-o", ".", "--renderer", "remap", *pictures, "--skip-existing") == 0
    told = capsys.readouterr().out
    assert "1 of 1 photos have their files already" in told
    assert "names are those of pictures that generate.py makes: photo_motion.png, photo_preview.webp, photo_xt" in told
    assert run(checkpoint, ".", "-o", ".", "--renderer", "remap") == 0
    assert names(folder) == there
    assert run(checkpoint, "photo_motion.png", "-o", "asked_for.mp4", "--renderer", "remap") == 0  # by its name it is
    assert run(checkpoint, ".", "-o", "photo.webp", "--viewer", "page.html", "--renderer", "remap") == 0  # one photo
    assert run(checkpoint, ".", "-o", "photo.webp", "--viewer", "page.html", "--renderer", "remap") == 0  # and its loop


def test_options_without_effect_are_told(checkpoint, folder, capsys):
    assert run(checkpoint, "photo.png", "--save-motion", "sway.safetensors", "--renderer", "remap") == 0
    assert "no effect" not in capsys.readouterr().err
    assert run(checkpoint, "photo.png", "--motion", "sway.safetensors", "--seed", "4", "--renderer", "remap") == 0
    assert "warning: --seed, --steps: no effect, because the motion is given" in capsys.readouterr().err


def test_a_loop_that_is_too_fast_is_said_before_the_work(checkpoint, folder, capsys):
    assert generate.main(["photo.png", "--checkpoint", str(checkpoint), "--steps", "1", "--num-frames", "60"]) == 0
    warning = capsys.readouterr().err.splitlines()[0]
    assert "at 2.5 times its natural speed; --num-frames 150 keeps it" in warning
    options = ["--num-frames", "4", "--fps", "0.8", "--renderer", "remap", "-o", "slower.gif"]
    assert generate.main(["photo.png", "--checkpoint", str(checkpoint), "--steps", "1", *options]) == 0
    assert "natural" not in capsys.readouterr().err


def test_a_wrong_checkpoint_ends_a_batch_at_once(folder, capsys):
    Image.fromarray(picture(32, 32)).save("oak.png")
    assert run(folder / "nowhere", "photo.png", "oak.png", "-o", "loops") == 2
    assert "nowhere" in error_line(capsys)


@pytest.mark.slow
def test_a_photo_from_standard_input_becomes_an_mp4_on_standard_output(checkpoint, folder):
    options = [sys.executable, str(ROOT / "generate.py"), "-", "-o", "-", "--renderer", "remap"]
    options += ["--checkpoint", str(checkpoint), *QUICK, "--device", "cpu"]
    done = subprocess.run(options, input=Path("photo.png").read_bytes(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    Path("loop.mp4").write_bytes(done.stdout)
    assert read_video("loop.mp4")[0].shape == (6, 48, 64, 3)
    assert b"standard output: 6 frames" in done.stderr
    assert names(folder) == ["loop.mp4", "photo.png"]
    done = subprocess.run(options, input=b"no picture", capture_output=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: standard input: not an image")


@pytest.mark.parametrize("damage", ["missing", "config", "weights"])
def test_a_damaged_checkpoint_is_named_and_leaves_nothing(checkpoint, folder, capsys, damage):
    copy = folder / "copy"
    if damage != "missing":
        shutil.copytree(checkpoint, copy)
    if damage == "config":
        (copy / "motion" / "config.json").write_text("{")
    if damage == "weights":
        weights = copy / "frame_synthesis" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
    before = names(folder)
    assert run(copy, "photo.png") == 2
    assert str(copy) in error_line(capsys)
    assert names(folder) == before


def test_an_interrupted_run_leaves_no_half_written_loop(checkpoint, folder, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FrameSynthesisModel, "render", interrupted)
    assert run(checkpoint, "photo.png", "--save-motion", "sway.safetensors") == 130
    assert [name for name in names(folder) if "photo." in name] == ["photo.png"]
    assert MotionFile.read("sway.safetensors").spectral_volume.shape[1] == 4  # the sampled motion is not lost


def test_viewer_is_a_page_with_the_loop_inside(checkpoint, folder, capsys):
    Image.fromarray(picture(64, 48)).save("a<b>&'x.png")
    assert run(checkpoint, "a<b>&'x.png", "-o", "loop.mp4", "--viewer", "new/page.html", "--report", "r.json") == 0
    text = Path("new/page.html").read_text(encoding="utf-8")
    assert "<h1>a&lt;b&gt;&amp;&#x27;x</h1>" in text
    assert '<video id="loop"' in text
    assert str(Path("new/page.html")) in json.loads(Path("r.json").read_text())["results"][0]["outputs"]
    assert str(Path("new/page.html")) in capsys.readouterr().out
    assert run(checkpoint, "photo.png", "--viewer", "page.txt") == 2
    assert ".html" in error_line(capsys)
    assert run(checkpoint, "photo.png", "a<b>&'x.png", "-o", "x/", "--viewer", "page.html") == 2
    assert "one photo" in error_line(capsys)


def test_a_page_of_what_was_told_to_stand_still_is_refused_before_the_rendering(checkpoint, folder, capsys):
    assert run(checkpoint, "photo.png", "--magnify", "0", "--viewer", "page.html") == 2
    told = capsys.readouterr().err
    assert "error: --viewer: --magnify, --mask, --still or --move leaves nothing that moves" in told
    assert "the model finds hardly anything" not in told
    assert names(folder) == ["photo.png"]


def test_variations_are_shown_side_by_side_and_one_of_them_is_picked(checkpoint, folder, capsys):
    assert run(checkpoint, "photo.png", "--variations", "3", "--seed", "5", "--report", "r.json") == 0
    motions = [f"outputs/photo_{number}.safetensors" for number in (1, 2, 3)]
    assert names(folder / "outputs") == [*(Path(name).name for name in motions), "photo_variations.mp4"]
    assert json.loads(Path("r.json").read_text())["results"][0]["seeds"] == [5, 6, 7]
    assert read_video("outputs/photo_variations.mp4")[0].shape == (6, 48 + LABEL_HEIGHT, 3 * 64, 3)
    assert run(checkpoint, "photo.png", "--pick", "2", "-o", "outputs/photo.png") == 0
    assert run(checkpoint, "photo.png", "--seed", "6", "-o", "same.png") == 0
    assert Path("outputs/photo.png").read_bytes() == Path("same.png").read_bytes()
    for arguments, complaint in (
        (["--pick", "4"], "outputs/photo_4.safetensors: no such motion; --variations N"),
        (["--variations", "3", "--pick", "1"], "--pick renders one"),
        (["--variations", "1"], "--variations 1: expected 2 to 24"),
    ):
        capsys.readouterr()
        assert run(checkpoint, "photo.png", *arguments) == 2
        assert complaint in error_line(capsys)


def test_pokes_side_by_side_last_as_long_as_each_alone(checkpoint, folder):
    options = ["--checkpoint", str(checkpoint), "--steps", "2", "--renderer", "remap", "--poke", "30,20,6,0"]
    assert generate.main(["photo.png", *options, "-o", "alone.mp4"]) == 0
    assert generate.main(["photo.png", *options, "-o", "both.mp4", "--variations", "2"]) == 0
    alone, beside = (read_video(name) for name in ("alone.mp4", "both_variations.mp4"))
    assert (alone[1], beside[1]) == (pytest.approx(30), pytest.approx(15))
    assert len(beside[0]) / 15 == pytest.approx(len(alone[0]) / 30, rel=0.3)
