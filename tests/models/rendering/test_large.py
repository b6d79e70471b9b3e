"""Rendering above the training size: detail, stillness, seams, and what the network adds."""

import pytest
import torch

from common.images import sharpness, to_8_bits
from models.rendering.config import PRESETS
from models.rendering.large import LargeRenderer, make_tiles, network_size
from models.rendering.model import FrameSynthesisModel
from models.rendering.warping import look_up, render_softmax

HEIGHT, WIDTH = 96, 144
SMALL = HEIGHT * WIDTH // 4  # the network works at half the size here, which keeps the tests fast


@pytest.fixture(scope="module")
def model() -> FrameSynthesisModel:
    torch.manual_seed(0)
    return FrameSynthesisModel(PRESETS["tiny"]).eval()


def texture() -> torch.Tensor:
    """Noise of single pixels, `[1, 3, H, W]`: all of it is gone at the network's size."""
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def smooth_flow(pixels: float) -> torch.Tensor:
    """Two flows `[2, 2, H, W]` that fade to nothing at the border."""
    window = torch.hann_window(HEIGHT, periodic=False)[:, None] * torch.hann_window(WIDTH, periodic=False)
    return torch.stack([torch.stack([pixels * window, -window]), torch.stack([-window, pixels * window])])


def one_tile() -> list:
    return make_tiles(HEIGHT, WIDTH, 0)


def test_what_stands_still_is_the_photo(model: FrameSynthesisModel) -> None:
    photo, flow = texture(), torch.zeros(1, 2, HEIGHT, WIDTH)
    with torch.no_grad():
        frame = LargeRenderer(model, photo, torch.zeros(1, 1, HEIGHT, WIDTH), one_tile(), network_pixels=SMALL)(flow)
    assert (frame - photo).abs().max() < 1e-4


def test_detail_goes_along_with_the_motion(model: FrameSynthesisModel) -> None:
    """Where everything moves by whole pixels, the frame is the shifted photo, single pixels and all."""
    photo, flow = texture(), torch.zeros(1, 2, HEIGHT, WIDTH)
    flow[:, 0], flow[:, 1] = 6, -4
    with torch.no_grad():
        frame = LargeRenderer(model, photo, torch.ones(1, 1, HEIGHT, WIDTH), one_tile(), network_pixels=SMALL)(flow)
    moved = photo[:, :, 4:, :-6][:, :, 10:-10, 10:-10]
    assert (frame[:, :, :-4, 6:][:, :, 10:-10, 10:-10] - moved).abs().mean() < 0.01


def test_it_is_sharper_than_splatting_alone(model: FrameSynthesisModel) -> None:
    photo, flow = texture(), smooth_flow(5.5)
    importance = torch.ones(1, 1, HEIGHT, WIDTH)
    with torch.no_grad():
        frames = LargeRenderer(model, photo, importance, one_tile(), network_pixels=SMALL)(flow)
        splatted = render_softmax(photo, flow, importance)
    assert frames.std() > 1.05 * splatted.std()


def test_frames_are_as_sharp_as_the_photo(model: FrameSynthesisModel) -> None:
    """Half a pixel in both directions is where lookups wear down most; splatting leaves less than two thirds here."""
    kernel = torch.outer(*[torch.tensor([1.0, 2.0, 1.0]) / 4] * 2).expand(3, 1, 3, 3)
    photo = torch.nn.functional.conv2d(texture(), kernel, padding=1, groups=3)
    flow, importance = torch.full((1, 2, HEIGHT, WIDTH), 0.5), torch.ones(1, 1, HEIGHT, WIDTH)
    with torch.no_grad():
        large = LargeRenderer(model, photo, importance, one_tile(), network_pixels=SMALL)(flow)
        whole = model(photo, flow, importance)
        splatted = render_softmax(photo, flow, importance)
    sharp, at_full_size, blurred = (
        float((sharpness(to_8_bits(frame[..., 8:-8, 8:-8])) / sharpness(to_8_bits(photo[..., 8:-8, 8:-8])))[0])
        for frame in (large, whole, splatted)
    )
    assert 0.9 < sharp < 1.05
    assert blurred + 0.1 < at_full_size < 1.05  # of a network that is not trained
    assert blurred < 0.67


def test_tiles_have_no_seams(model: FrameSynthesisModel) -> None:
    photo, flow, importance = texture(), smooth_flow(9.5), torch.ones(1, 1, HEIGHT, WIDTH)
    with torch.no_grad():
        whole = LargeRenderer(model, photo, importance, one_tile(), network_pixels=SMALL)(flow)
        tiles = make_tiles(HEIGHT, WIDTH, 20, pixels=1500)
        tiled = LargeRenderer(model, photo, importance, tiles, network_pixels=SMALL)(flow)
    assert len(tiles) >= 9
    assert (tiled - whole).abs().max() < 1e-3


def test_the_networks_low_frequencies_fill_what_comes_out_from_behind() -> None:
    """The right half moves away from the left one; between them is a gap."""

    class Brighter(FrameSynthesisModel):
        def render(self, *arguments: torch.Tensor) -> torch.Tensor:
            return super().render(*arguments) + 0.1

    photo, flow, importance = 0.5 * texture(), torch.zeros(1, 2, HEIGHT, WIDTH), torch.ones(1, 1, HEIGHT, WIDTH)
    flow[:, 0, :, WIDTH // 2 :] = 16
    frames = []
    for kind in (FrameSynthesisModel, Brighter):
        torch.manual_seed(0)
        with torch.no_grad():
            frames.append(
                LargeRenderer(kind(PRESETS["tiny"]).eval(), photo, importance, one_tile(), network_pixels=SMALL)(flow)
            )
    difference = (frames[1] - frames[0])[0, 0, 10:-10]
    assert difference[:, WIDTH // 2 + 7 : WIDTH // 2 + 9].sub(0.1).abs().max() < 1e-3
    assert difference[:, : WIDTH // 2 - 12].abs().max() < 1e-5
    assert difference[:, WIDTH // 2 + 28 : -8].abs().max() < 1e-5
    assert torch.equal(frames[1][..., : WIDTH // 2 - 12], frames[0][..., : WIDTH // 2 - 12])
    assert (frames[0] - photo)[..., : WIDTH // 2 - 12].abs().max() < 1e-4


def test_tiles_cover_every_pixel_once_and_keep_their_margins() -> None:
    assert make_tiles(20, 40, margin=9) == [((slice(0, 20), slice(0, 40)), (slice(0, 20), slice(0, 40)))]
    for height, width in ((101, 40), (30, 2000), (90, 90)):
        count = torch.zeros(height, width, dtype=torch.int)
        for around, inside in make_tiles(height, width, margin=20, pixels=1000):
            count[around][inside] += 1
            for length, outer, inner in zip((height, width), around, inside, strict=True):
                assert outer.start == 0 or inner.start == 20
                assert outer.stop == length or outer.stop - outer.start - inner.stop == 20
        assert (count == 1).all()
    assert all(
        around[0] == slice(0, 30) for around, _ in make_tiles(30, 2000, margin=20, pixels=1000)
    )  # cut across, not along


def test_a_panorama_and_a_square_come_down_to_the_training_area() -> None:
    for height, width in ((1080, 1920), (300, 3000), (2000, 2000)):
        small = network_size(height, width, pixels=SMALL)
        assert small[0] * small[1] == pytest.approx(SMALL, rel=0.05)
        assert small[1] / small[0] == pytest.approx(width / height, rel=0.05)


def test_looking_up_the_flow_refines_an_inverse() -> None:
    """A stretch ``x -> 1.1 x``: the exact inverse flow at x is ``x / 11``, and one step comes ten times nearer."""
    x = torch.arange(60.0).expand(1, 1, 20, 60)
    flow = torch.cat([0.1 * x, torch.zeros_like(x)], dim=1)
    exact = torch.cat([x / 11, torch.zeros_like(x)], dim=1)
    rough = exact + torch.tensor([0.5, 0.0]).view(1, 2, 1, 1)
    error = (look_up(flow, rough) - exact)[0, 0, :, 6:50].abs().max()
    assert error == pytest.approx(0.05, abs=1e-4)
