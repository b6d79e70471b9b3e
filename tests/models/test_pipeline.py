"""The pipeline with tiny untrained models: sizes, loops, checkpoints of every form."""

import json

import numpy as np
import pytest
import torch

from models.motion.model import PRESETS as MOTION_PRESETS
from models.motion.model import MotionModel
from models.pipeline import (
    PRETRAINED,
    ImageDynamicsPipeline,
    checkpoint_folders,
    covering_size,
    model_size,
    resize_photo,
    to_uint8,
)
from models.rendering.model import PRESETS as RENDERER_PRESETS
from models.rendering.model import FrameSynthesisModel
from models.spectral_volume import SpectralNormalizer, motion_at_times


@pytest.fixture(scope="module")
def pipeline() -> ImageDynamicsPipeline:
    torch.manual_seed(0)
    config = MOTION_PRESETS["tiny"]
    motion = MotionModel(config, SpectralNormalizer("adaptive", (1.0,) * config.num_frequencies)).eval()
    return ImageDynamicsPipeline(motion, FrameSynthesisModel(RENDERER_PRESETS["tiny"]).eval())


@pytest.fixture
def photo() -> torch.Tensor:
    """A smooth picture [1, 3, 60, 90], so that displacements change it little by little."""
    y, x = torch.meshgrid(torch.linspace(0, 3, 60), torch.linspace(0, 4, 90), indexing="ij")
    return torch.stack([(2 * x).sin(), (3 * y).cos(), (x + 2 * y).sin()])[None]


def swaying(height: int = 20, width: int = 30, amplitude: float = 1.0) -> torch.Tensor:
    """A volume [1, 3, 4, h, w] that sways sideways at the lowest frequency, the middle more than the border."""
    volume = torch.zeros(1, 3, 4, height, width)
    volume[0, 1, 2] = amplitude * torch.hann_window(width, periodic=False)
    return volume


def frames_of(pipeline, photo, volume, **options) -> np.ndarray:
    return np.stack(list(pipeline.render(photo, volume, **{"period": 5.0, "num_frames": 10, "fps": 2.0} | options)))


def test_motion_is_sampled_in_the_photos_shape_and_anchored(pipeline, photo):
    volume = pipeline.predict_motion(photo, seed=3, steps=2)
    assert volume.shape == (1, 4, 4, 32, 48)  # 3:2, near the area of 64x32, multiples of 16
    assert torch.equal(volume, volume.half().float())
    assert motion_at_times(volume, [0.0], 150).abs().max() < 0.01 * volume.abs().max() + 1e-3
    assert torch.equal(volume, pipeline.predict_motion(photo, seed=3, steps=2))
    assert not torch.equal(volume, pipeline.predict_motion(photo, seed=4, steps=2))


def test_progress_is_told(pipeline, photo):
    seen = []
    pipeline.predict_motion(photo, steps=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("renderer", ["model", "softmax", "average", "remap"])
def test_frame_zero_is_the_photo_and_the_loop_closes(pipeline, photo, renderer):
    frames = frames_of(pipeline, photo, swaying(), renderer=renderer)
    assert frames.shape == (10, 60, 90, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames[0], to_uint8(photo)[0])
    steps = np.abs(np.diff(np.concatenate([frames, frames[:1]]).astype(float), axis=0)).mean((1, 2, 3))
    assert steps[-1] < 2 * np.median(steps[:-1])
    assert np.median(steps) > 0
    twice = frames_of(pipeline, photo, swaying(), renderer=renderer, num_frames=20)
    assert np.array_equal(twice[:10], twice[10:])  # 10 seconds are two periods of 5


def test_magnify_scales_the_motion(pipeline, photo):
    once = frames_of(pipeline, photo, swaying(), renderer="remap", magnify=2.0)
    assert np.array_equal(once, frames_of(pipeline, photo, swaying(amplitude=2.0), renderer="remap"))
    still = frames_of(pipeline, photo, swaying(), magnify=0.0)
    assert (still == still[0]).all()


def test_slow_motion_has_more_frames_of_the_same_loop(pipeline, photo):
    fast = frames_of(pipeline, photo, swaying(), renderer="softmax")
    slow = frames_of(pipeline, photo, swaying(), renderer="softmax", slow=2.0)
    assert len(slow) == 20
    assert np.abs(slow[::2].astype(int) - fast).max() <= 1


def test_moving_frames_are_displaced_in_pixels_of_the_output(pipeline):
    """A volume of 2 pixels at 30 wide moves a picture 120 wide by 8 pixels."""
    photo = torch.linspace(-1, 1, 120).expand(1, 3, 80, 120)
    volume = torch.zeros(1, 2, 4, 20, 30)
    volume[0, 1, 0] = -0.5  # F_t - F_0 is largest half a period on: 2 * 2 * 0.5 pixels
    frames = frames_of(pipeline, photo, volume, renderer="remap")
    moved = (frames[5].astype(float) - frames[0])[40, 20:100, 0].mean()
    assert moved == pytest.approx(-8 * 255 / 119, rel=0.02)


def test_another_shape_shows_the_centre(pipeline, photo):
    wide = frames_of(pipeline, photo, swaying(), renderer="remap", size=(90, 30))
    whole = frames_of(pipeline, photo, swaying(), renderer="remap")
    assert np.array_equal(wide, whole[:, 15:45])
    assert frames_of(pipeline, photo, swaying(), size=(45, 30)).shape == (10, 30, 45, 3)


def test_batches_do_not_change_the_frames(pipeline, photo, monkeypatch):
    together = frames_of(pipeline, photo, swaying())
    monkeypatch.setattr("models.pipeline.PIXELS_A_BATCH", 1)
    assert np.abs(frames_of(pipeline, photo, swaying()).astype(int) - together).max() <= 1


@pytest.mark.parametrize("renderer", ["model", "softmax", "remap"])
def test_tiles_do_not_change_the_frames(pipeline, monkeypatch, renderer):
    photo = torch.rand(1, 3, 125, 180, generator=torch.Generator().manual_seed(0)) * 2 - 1
    volume = swaying(125, 180)
    volume[0, 1, 1] = 2 * torch.hann_window(125, periodic=False)[:, None]
    monkeypatch.setattr("models.pipeline.LARGEST_WHOLE", 5000)
    whole = frames_of(pipeline, photo, volume, renderer=renderer, num_frames=4)
    monkeypatch.setattr("models.rendering.large.PIXELS_A_TILE", 4000)
    tiled = frames_of(pipeline, photo, volume, renderer=renderer, num_frames=4)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert np.abs(np.diff(whole.astype(int), axis=0)).mean() > 5


def test_the_network_renders_frames_up_to_about_the_training_size_itself(pipeline, monkeypatch):
    seen = []
    encode = FrameSynthesisModel.encode
    monkeypatch.setattr(
        FrameSynthesisModel, "encode", lambda self, image: seen.append(image.shape) or encode(self, image)
    )
    photo = torch.zeros(1, 3, 320, 512)
    for size in ((256, 160), (320, 200), (512, 320)):
        frames_of(pipeline, photo, swaying(), size=size, num_frames=2)
    assert [tuple(shape[2:]) for shape in seen] == [(160, 256), (200, 320), (160, 256)]


def test_saved_pipelines_load_again_whole_or_in_part(pipeline, photo, tmp_path):
    pipeline.save_pretrained(tmp_path / "saved")
    again = ImageDynamicsPipeline.from_pretrained(tmp_path / "saved")
    volume = pipeline.predict_motion(photo, steps=2)
    assert torch.equal(again.predict_motion(photo, steps=2), volume)
    assert np.array_equal(frames_of(again, photo, volume), frames_of(pipeline, photo, volume))
    bare = checkpoint_folders(tmp_path / "saved" / "motion")
    assert bare == {"motion": tmp_path / "saved" / "motion", "frame_synthesis": PRETRAINED / "frame_synthesis"}
    bare = checkpoint_folders(tmp_path / "saved" / "frame_synthesis")
    assert bare == {"motion": PRETRAINED / "motion", "frame_synthesis": tmp_path / "saved" / "frame_synthesis"}
    part = ImageDynamicsPipeline.from_pretrained(tmp_path / "saved" / "motion", parts=["motion"])
    assert torch.equal(part.predict_motion(photo, steps=2), volume)
    with pytest.raises(ValueError, match="without its frame synthesis model"):
        frames_of(part, photo, volume)


def test_a_hub_id_is_downloaded(pipeline, tmp_path, monkeypatch):
    pipeline.save_pretrained(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    asked = []

    def snapshot_download(repo_id, **options):
        asked.append(repo_id)
        if repo_id == "some/where":
            return str(tmp_path / "cache")
        raise OSError("offline\nsecond line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert checkpoint_folders("some/where")["motion"] == tmp_path / "cache" / "motion"
    with pytest.raises(ValueError, match=r"^some/thing: no such checkpoint folder, nor .*\(offline\)$"):
        checkpoint_folders("some/thing")
    assert asked == ["some/where", "some/thing"]
    with pytest.raises(ValueError, match="no such checkpoint folder"):
        checkpoint_folders(tmp_path / "nowhere")
    assert len(asked) == 2


def test_damaged_checkpoints_are_named(pipeline, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        checkpoint_folders(tmp_path / "empty")
    pipeline.save_pretrained(tmp_path / "saved")
    config = tmp_path / "saved" / "motion" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"kind": "frame_synthesis"}))
    with pytest.raises(ValueError, match="where one of kind 'motion' is needed"):
        checkpoint_folders(tmp_path / "saved")
    config.write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        checkpoint_folders(tmp_path / "saved" / "motion")


def test_model_size_is_near_in_shape_and_area():
    assert model_size((256, 160), (256, 160), 32) == (256, 160)
    assert model_size((640, 427), (256, 160), 16) == (240, 160)
    assert model_size((427, 640), (256, 160), 16) == (160, 240)
    for photo in ((500, 500), (1920, 1080), (300, 400), (2000, 700)):
        width, height = model_size(photo, (256, 160), 32)
        assert width % 32 == height % 32 == 0
        assert abs(np.log(width * height / 256 / 160)) < 0.35
        assert abs(np.log(width / height / (photo[0] / photo[1]))) < 0.2


def test_covering_size_ignores_rounding_alone():
    assert covering_size((640, 427), (512, 342)) == (512, 342)
    assert covering_size((640, 427), (256, 160)) == (256, 171)
    assert covering_size((100, 200), (100, 100)) == (100, 200)


def test_resizing_a_photo_stays_in_range():
    stripes = (torch.arange(64) // 4 % 2 * 2.0 - 1).expand(1, 3, 32, 64)
    large = resize_photo(stripes, (48, 100))
    assert large.shape == (1, 3, 48, 100)
    assert large.abs().max() <= 1


def test_wrong_input_is_an_error(pipeline, photo):
    with pytest.raises(ValueError, match="one photo"):
        pipeline.predict_motion(photo[0])
    with pytest.raises(ValueError, match="unknown renderer"):
        frames_of(pipeline, photo, swaying(), renderer="paint")
    with pytest.raises(ValueError, match="without its motion model"):
        next(ImageDynamicsPipeline().render(photo, swaying()))


def test_values_that_are_not_finite_stop_the_run(pipeline, photo, monkeypatch):
    monkeypatch.setattr(MotionModel, "sample", lambda *_: torch.full((1, 4, 4, 32, 48), torch.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        pipeline.predict_motion(photo)
