"""Training batches for the renderer: augmented crops of a photo, a later frame and the flow to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from training.batches.augmentation import AugmentationConfig, jitter_color
from training.batches.mixture import Mixture

CUT_MARGIN = 8  # pixels along a cut side of a crop in which content may come from beyond the cut
AT_BORDER = 1 / 4  # share of the crops that lie against the frame's left border; likewise right, top and bottom
NOISE_GRID = 16  # pixels between the points at which noise of the flow is drawn


class FramePairBatch(NamedTuple):
    """What one training step of the renderer sees."""

    source: Tensor  # [B, 3, H, W] in [-1, 1]
    target: Tensor  # [B, 3, H, W] in [-1, 1]
    flow: Tensor  # [B, 2, H, W] in pixels from source to target, as the renderer is told
    importance: Tensor  # [B, 1, H, W] mean over time of the displacement's magnitude
    known: Tensor  # [B, 1, H, W] 1, or 0 near a cut, where no renderer could know what moves in from beyond it
    motion: Tensor  # [B, 2, H, W] the flow without the noise that augmentation adds
    ids: list[str]

    def to(self, device: torch.device) -> FramePairBatch:
        """The same batch on a device; on a GPU it is there by the time that anything computes with it."""
        tensors = {name: getattr(self, name) for name in self._fields if name != "ids"}
        return self._replace(
            **{name: tensor.to(device, non_blocking=device.type == "cuda") for name, tensor in tensors.items()}
        )

    def pinned(self) -> FramePairBatch:
        """The same batch in page-locked memory, from which a GPU fetches it while the program goes on."""
        return self._replace(**{name: getattr(self, name).pin_memory() for name in self._fields if name != "ids"})

    def part(self, first: int, count: int) -> FramePairBatch:
        """The samples ``first ... first + count - 1``; the whole batch is itself."""
        if first == 0 and count == len(self.ids):
            return self
        return self._replace(**{name: getattr(self, name)[first : first + count] for name in self._fields})


@dataclass(frozen=True)
class PairAugmentation:
    """Random changes of frame pairs beyond crops and flips."""

    color: float = 1.0  # factor on the ranges of :data:`COLOR`; all frames of a sample change alike
    flow_noise: float = 0.0  # pixels, standard deviation of a smooth error of the flow; less where little moves
    identity: float = 0.0  # share of samples in which nothing moves and the target is the source


COLOR = AugmentationConfig(brightness=0.1, contrast=0.25, saturation=0.3, hue=0.1)


class FramePairBatches:
    """Draws batches from one or several datasets; a batch is a function of the generator given alone.

    With ``neighbours`` the samples 2i and 2i + 1 of a batch are two frames of one sequence, as close in time as the
    dataset stores them, from the same source under the same augmentation.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],  # data.dataset.reading.FramePairDataset
        crop: tuple[int, int],  # (W, H), at most the frames' size
        *,
        shares: Sequence[float] | None = None,  # each dataset's share of the samples; equal by default
        augmentation: PairAugmentation = PairAugmentation(),
        neighbours: bool = False,
    ) -> None:
        self.mixture = Mixture(datasets, shares)
        self.datasets, self.sizes = datasets, self.mixture.sizes
        self.crop = crop
        self.augmentation = augmentation
        self._frames = 2 if neighbours else 1  # frames a sample
        self._color = _scaled(COLOR, augmentation.color)

    def draw(self, batch_size: int, generator: torch.Generator) -> FramePairBatch:
        """Draw with replacement: a dataset by its share, then any of its pairs."""
        if batch_size % self._frames:
            raise ValueError(f"a batch of {batch_size} pairs holds no neighbours; give an even number")
        samples, ids = [], []
        for _ in range(batch_size // self._frames):
            items = self._items(generator)
            samples += self._sample(items, generator)
            ids += [f"{item['id']}:{item['frame_index']}" for item in items]
        source, target, flow, importance, known, motion = torch.stack(samples).split([3, 3, 2, 1, 1, 2], dim=1)
        return FramePairBatch(source, target, flow, importance, known, motion, ids)

    def _items(self, generator: torch.Generator) -> list[dict]:
        dataset, index = self.mixture.draw(generator)
        item = dataset[index]
        return [item] if self._frames == 1 else [item, _neighbour(dataset, index, item)]

    def _sample(self, items: list[dict], generator: torch.Generator) -> list[Tensor]:
        """The tensors of a batch, ``[12, H', W']`` for each frame."""
        first = items[0]
        stacked = [first["source"], first["importance_motion"]]
        for item in items:
            stacked += [item["target"], item["flow"]]
        # Channels: source 0-2, importance 3, then target and flow of each frame, what is known last.
        crop = _flip(_crop(torch.cat(stacked), self.crop, generator), len(items), generator)
        source, importance, known = crop[:3], crop[3:4], crop[-1:]
        targets = [crop[4 + 5 * i : 7 + 5 * i] for i in range(len(items))]
        motions = [crop[7 + 5 * i : 9 + 5 * i] for i in range(len(items))]
        if self.augmentation.color:
            source, *targets = jitter_color(torch.cat([source, *targets], dim=1), self._color, generator).chunk(
                1 + len(targets), dim=1
            )
        if torch.rand((), generator=generator) < self.augmentation.identity:
            targets, motions = [source] * len(items), [torch.zeros_like(motion) for motion in motions]
        flows = [add_flow_noise(motion, self.augmentation.flow_noise, generator) for motion in motions]
        parts = zip(targets, flows, motions, strict=True)
        return [torch.cat([source, target, flow, importance, known, motion]) for target, flow, motion in parts]


def add_flow_noise(flow: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Disturb a flow ``[2, H, W]`` smoothly, in pixels; below a displacement of 1 pixel in proportion to it.

    What stands still keeps standing still: there a renderer can tell no error from a motion.
    """
    if not deviation:
        return flow
    height, width = flow.shape[1:]
    points = torch.randn(1, 2, height // NOISE_GRID + 2, width // NOISE_GRID + 2, generator=generator)
    noise = F.interpolate(points, size=(height, width), mode="bicubic", align_corners=True)[0]
    return flow + deviation * noise * flow.norm(dim=0, keepdim=True).clamp_max(1)


def _neighbour(dataset: Dataset, index: int, item: dict) -> dict:
    """The stored frame of the same sequence that is closest in time to an item's; the item itself if it has none."""
    # The stored frames of a sequence follow each other.
    around = [dataset[i] for i in (index - 1, index + 1) if 0 <= i < len(dataset)]  # type: ignore[arg-type]
    same = [other for other in around if other["id"] == item["id"]]
    return min(same, key=lambda other: abs(other["frame_index"] - item["frame_index"]), default=item)


def _scaled(config: AugmentationConfig, factor: float) -> AugmentationConfig:
    names = ("brightness", "contrast", "saturation", "hue")
    return replace(config, **{name: factor * getattr(config, name) for name in names})


def _crop(stacked: Tensor, crop: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Cut ``[C, H, W]`` to the crop's size and add the mask of what is known: ``[C + 1, H', W']``."""
    height, width = stacked.shape[1:]
    if crop[0] > width or crop[1] > height:
        raise ValueError(f"a crop of {crop[0]}x{crop[1]} is larger than the frames, {width}x{height}")
    left, top = (_place(free, generator) for free in (width - crop[0], height - crop[1]))
    right, bottom = left + crop[0], top + crop[1]
    known = torch.zeros(1, height, width)
    # The image's own border is no cut: what lies beyond it is unknown in use as well.
    known[
        :,
        top + CUT_MARGIN if top > 0 else 0 : bottom - CUT_MARGIN if bottom < height else height,
        left + CUT_MARGIN if left > 0 else 0 : right - CUT_MARGIN if right < width else width,
    ] = 1
    return torch.cat([stacked, known])[:, top:bottom, left:right]


def _place(free: int, generator: torch.Generator) -> int:
    """Where a crop begins, of the ``free + 1`` places along a side.

    Borders are known at borders only: with all places alike a renderer would hardly ever learn what to do there.
    """
    place = float(torch.rand((), generator=generator))
    if place < AT_BORDER:
        return 0
    if place >= 1 - AT_BORDER:
        return free
    return int(torch.randint(free + 1, (), generator=generator))


def _flip(stacked: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Mirror at random along each axis; a mirrored axis negates its component of each frame's flow."""
    for axis, component in ((2, 7), (1, 8)):
        if torch.rand((), generator=generator) < 0.5:
            stacked = stacked.flip(axis)
            stacked[[component + 5 * frame for frame in range(frames)]] *= -1
    return stacked
