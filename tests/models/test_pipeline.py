"""The pipeline with tiny untrained models: motion, loops, and what it takes and gives."""

import numpy as np
import pytest
import torch

from common.images import tensor_to_image
from models.motion.model import MotionModel
from models.photos import Photo
from models.pipeline import ImageDynamicsPipeline
from models.rendering.large import RenderSizes
from models.rendering.model import FrameSynthesisModel
from models.spectral_volume import motion_at_times


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
    return np.stack(list(pipeline.render(photo, volume, **{"num_frames": 10, "fps": 2.0} | options)))


def resized(pipeline: ImageDynamicsPipeline, **sizes: int) -> ImageDynamicsPipeline:
    """The same models with other sizes from which frames are rendered in parts."""
    return ImageDynamicsPipeline(pipeline.motion_model, pipeline.frame_synthesis, sizes=RenderSizes(**sizes))


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
    assert np.array_equal(frames[0], tensor_to_image(photo))
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


def test_batches_do_not_change_the_frames(pipeline, photo):
    together = frames_of(pipeline, photo, swaying())
    single = frames_of(resized(pipeline, batch_on_cpu=1), photo, swaying())
    assert np.abs(single.astype(int) - together).max() <= 1


@pytest.mark.parametrize("renderer", ["model", "softmax", "remap"])
def test_tiles_do_not_change_the_frames(pipeline, renderer):
    photo = torch.rand(1, 3, 125, 180, generator=torch.Generator().manual_seed(0)) * 2 - 1
    volume = swaying(125, 180)
    volume[0, 1, 1] = 2 * torch.hann_window(125, periodic=False)[:, None]
    one_tile, tiles = (resized(pipeline, largest_whole=5000, pixels_a_tile=pixels) for pixels in (10**6, 4000))
    whole = frames_of(one_tile, photo, volume, renderer=renderer, num_frames=4)
    tiled = frames_of(tiles, photo, volume, renderer=renderer, num_frames=4)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert np.abs(np.diff(whole.astype(int), axis=0)).mean() > 5


def test_the_network_renders_frames_up_to_about_the_training_size_itself(pipeline, monkeypatch):
    seen = []
    encode = FrameSynthesisModel.encode
    monkeypatch.setattr(
        FrameSynthesisModel, "encode", lambda self, image: seen.append(image.shape) or encode(self, image)
    )
    photo = Photo(torch.zeros(1, 3, 320, 512))
    for size in ((256, 160), (320, 200), (512, 320)):
        frames_of(pipeline, photo, swaying(), size=size, num_frames=2)
    assert [tuple(shape[2:]) for shape in seen] == [(160, 256), (200, 320), (80, 128)]


def test_saved_pipelines_load_again_whole_or_in_part(pipeline, photo, tmp_path):
    pipeline.save_pretrained(tmp_path / "saved")
    again = ImageDynamicsPipeline.from_pretrained(tmp_path / "saved")
    volume = pipeline.predict_motion(photo, steps=2)
    assert torch.equal(again.predict_motion(photo, steps=2), volume)
    assert np.array_equal(frames_of(again, photo, volume), frames_of(pipeline, photo, volume))
    part = ImageDynamicsPipeline.from_pretrained(tmp_path / "saved" / "motion", parts=["motion"])
    assert torch.equal(part.predict_motion(photo, steps=2), volume)
    with pytest.raises(ValueError, match="without its frame synthesis model"):
        frames_of(part, photo, volume)


def test_wrong_input_is_an_error(pipeline, photo):
    with pytest.raises(ValueError, match="unknown renderer"):
        frames_of(pipeline, photo, swaying(), renderer="paint")
    with pytest.raises(ValueError, match="without its motion model"):
        next(ImageDynamicsPipeline().render(photo, swaying()))


def test_values_that_are_not_finite_stop_the_run(pipeline, photo, monkeypatch):
    monkeypatch.setattr(MotionModel, "sample", lambda *_, **__: torch.full((1, 4, 4, 32, 48), torch.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        pipeline.predict_motion(photo)


def test_an_animation_is_sampled_at_once_and_rendered_as_its_frames_are_asked_for(pipeline, photo):
    animation = pipeline(photo, seed=3, steps=2, num_frames=4, fps=2.0, size=(45, 30), renderer="softmax", magnify=2.0)
    volume = pipeline.predict_motion(photo, seed=3, steps=2)
    assert torch.equal(animation.motion.spectral_volume, volume[0])  # before it is magnified
    assert (animation.motion.num_frames, animation.motion.fps, animation.motion.photo_size) == (150, 30.0, (90, 60))
    assert (animation.num_frames, animation.fps) == (4, 2.0)
    frames = np.stack(list(animation.frames))
    options = {"num_frames": 4, "size": (45, 30), "renderer": "softmax"}
    assert np.array_equal(frames, frames_of(pipeline, photo, 2 * volume, **options))
    again = pipeline(photo, motion=animation.motion, fps=2.0, magnify=2.0, **options)
    assert np.array_equal(frames, np.stack(list(again.frames)))


def test_a_list_of_photos_gives_a_list_of_animations(pipeline, photo):
    both = pipeline([photo, photo.flip(3)], steps=2, num_frames=2, renderer="remap")
    assert len(both) == 2
    assert np.array_equal(next(both[0].frames), next(both[1].frames)[:, ::-1])


def test_a_motion_of_another_shape_is_refused(pipeline, photo):
    motion = pipeline(photo, steps=2).motion
    with pytest.raises(ValueError, match="another aspect ratio"):
        pipeline(photo.transpose(2, 3), motion=motion)


def test_photos_in_the_wrong_range_are_refused_everywhere(pipeline, photo):
    for call in (pipeline, pipeline.predict_motion, lambda given: pipeline.render(given, swaying())):
        with pytest.raises(ValueError, match=r"looks like \[0, 1\]"):
            call((photo + 1) / 2)
        with pytest.raises(ValueError, match=r"in \[-1, 1\], got values"):
            call(127.5 * (photo + 1))
