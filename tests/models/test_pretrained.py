"""What the weights that come with the repository do with a photo they were not trained on."""

import pytest
import torch
from helpers.places import SAMPLES

from common.images import image_to_tensor
from data.media.images import read_image
from models.dynamics.seam import SeamMeter, motion_seam_ratio
from models.pipeline import ImageDynamicsPipeline
from models.spectral_volume import motion_amplitude, spectral_volume_to_motion


@pytest.fixture(scope="module")
def pipeline() -> ImageDynamicsPipeline:
    return ImageDynamicsPipeline.from_pretrained()


@pytest.fixture(scope="module")
def dahlia() -> torch.Tensor:
    return image_to_tensor(read_image(SAMPLES / "dahlia.jpg"))


@pytest.fixture(scope="module")
def motion(pipeline: ImageDynamicsPipeline, dahlia: torch.Tensor) -> torch.Tensor:
    return pipeline.predict_motion(dahlia, seed=0)


def test_the_flower_moves_and_the_dark_ground_beside_it_does_not(motion: torch.Tensor) -> None:
    amplitude = motion_amplitude(motion)[0, 0]
    height, width = amplitude.shape
    flower = amplitude[int(0.35 * height) : int(0.75 * height), int(0.35 * width) : int(0.6 * width)].mean()
    ground = amplitude[int(0.3 * height) : int(0.8 * height), int(0.78 * width) :].mean()
    assert flower > 2 * ground
    assert 0.2 < flower < 5  # pixels at the model's size: visible, and not torn apart


def test_the_motion_loops(motion: torch.Tensor) -> None:
    texture = spectral_volume_to_motion(motion.float(), 150)
    assert texture[:, 0].abs().max() < 1e-2
    assert motion_seam_ratio(texture) < 1.5


def test_rendered_frames_loop_and_begin_with_the_photo(
    pipeline: ImageDynamicsPipeline, dahlia: torch.Tensor, motion: torch.Tensor
) -> None:
    meter = SeamMeter()
    frames = list(pipeline.render(dahlia, motion, num_frames=20, fps=4, size=(128, 86)))
    for frame in frames:
        meter.add(torch.from_numpy(frame).float())
    assert meter.ratio() < 1.5
    still = abs(frames[0].astype(float) - frames[10].astype(float)).mean()
    assert still > 0.5  # grey levels: something happens in between
