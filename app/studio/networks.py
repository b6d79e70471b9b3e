"""The exported networks as files: written for the page, and compared with PyTorch, each and in a whole sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from app.studio.export import export_part, exportable, network_parts
from app.studio.schedule import sampler_steps
from app.studio.weights import MIXED, store_weights
from models.motion.model import MotionModel
from models.photos import Photo, model_size, resize_photo
from models.spectral_volume import motion_amplitude

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OTHER_SIZE = (4, 2)  # multiples at which the parts are compared besides that of the export
EXACT = 1e-3  # of the largest value: an export that differs by more from PyTorch is wrong
Say = Callable[[str], None]


@dataclass(frozen=True)
class SampleDifference:
    """How far a sample of the exported networks is from PyTorch's of the same seed."""

    rms: float  # of the difference, over that of PyTorch's volume
    largest: float  # pixels
    amplitude: float  # correlation of both maps of the amplitude: whether the same things move
    seeds: float  # the first measure between two seeds of PyTorch's


def export_networks(
    model: MotionModel, storage: str | Mapping[str, str] = MIXED, say: Say = lambda _: None
) -> dict[str, bytes]:
    """Contents of the ONNX files by the parts' names.

    Args:
        model: on the CPU.
        storage: how weights are stored, one of `app.studio.weights.STORAGES` for all parts or for each by its name.
        say: told of each part's size and differences.

    Raises:
        ValueError: an export that does not compute what PyTorch does.
    """
    files = {}
    twin = exportable(model)
    for part, other in zip(network_parts(twin), network_parts(model, OTHER_SIZE, seed=1), strict=True):
        whole = export_part(part)
        exact = largest_difference(whole.SerializeToString(), other.inputs, other.run())
        kind = storage if isinstance(storage, str) else storage[part.name]
        files[part.name] = store_weights(whole, kind).SerializeToString()
        stored = largest_difference(files[part.name], other.inputs, other.run())
        say(
            f"{part.name}: {len(files[part.name]) / 1e6:.1f} MB; largest difference to PyTorch, over the largest "
            f"value: {exact:.1e}, with {kind} weights {stored:.1e}"
        )
        if not exact < EXACT:
            raise ValueError(f"the exported part {part.name} differs from PyTorch by {exact:.2g} of its largest value")
    return files


def largest_difference(file: bytes, inputs: Mapping[str, Tensor], expected: Tensor) -> float:
    """Largest difference of an ONNX file's output to what is expected, over the largest expected value."""
    found = _run(_open(file), inputs)
    return float((found - expected).abs().max() / expected.abs().max())


def sample_with(files: Mapping[str, bytes], model: MotionModel, image: Tensor, *, seed: int) -> Tensor:
    """A volume ``[1, K, 4, H, W]`` from exported networks, in the page's steps.

    Args:
        files: of :func:`export_networks`.
        model: tells the configuration; its networks are not used.
        image: ``[1, 3, H, W]`` of a size that the model takes.
        seed: of the noise.
    """
    config, sessions = model.config, {name: _open(file) for name, file in files.items()}
    strength = {"strength": torch.full((1,), float(model.usual_strength))} if config.wind else {}
    condition = _run(sessions["condition"], {"image": image})
    height, width = (side // model.autoencoder.downsampling for side in image.shape[-2:])
    shape = (config.num_frequencies, model.autoencoder.latent_channels, height, width)
    noisy = torch.randn(shape, generator=torch.Generator().manual_seed(seed))[None]

    def predict(latents: Tensor, timestep: int, seen: Tensor) -> Tensor:
        inputs = {"latents": latents, "timestep": torch.tensor([timestep]), "condition": seen}
        return _run(sessions["denoise"], inputs | strength)

    past = torch.zeros(2, *noisy.shape)
    for step in sampler_steps(config):
        output = predict(noisy, step["timestep"], condition)
        if config.guidance:
            blind = predict(noisy, step["timestep"], torch.zeros_like(condition))
            output = (1 + config.guidance) * output - config.guidance * blind
        here = torch.stack([noisy, output])
        noisy = step["noisy"] * noisy + step["prediction"] * output
        noisy = noisy + step["before"][0] * past[0] + step["before"][1] * past[1]
        past = here
    return _run(sessions["decode"], {"latents": noisy, "image": image} | strength)


def compare_sample(files: Mapping[str, bytes], model: MotionModel, photo: Photo, *, seed: int = 0) -> SampleDifference:
    """A whole sample of a photo by the exported networks beside PyTorch's."""
    width, height = model_size(photo.size, model.config.size, model.size_multiple)
    image = resize_photo(photo.image, (height, width))
    expected, other = (model.sample(image, [number]) for number in (seed, seed + 1))
    found = sample_with(files, model, image, seed=seed)
    maps = torch.stack([motion_amplitude(volume).flatten() for volume in (found, expected)])
    return SampleDifference(
        rms=_relative(found, expected),
        largest=float((found - expected).abs().max()),
        amplitude=float(torch.corrcoef(maps)[0, 1]),
        seeds=_relative(other, expected),
    )


def _relative(volume: Tensor, expected: Tensor) -> float:
    return float(((volume - expected).square().mean() / expected.square().mean()).sqrt())


def _open(file: bytes) -> InferenceSession:
    from onnxruntime import InferenceSession

    return InferenceSession(file, providers=["CPUExecutionProvider"])


def _run(session: InferenceSession, inputs: Mapping[str, Tensor]) -> Tensor:
    (output,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(np.asarray(output))
