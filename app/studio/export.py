"""The motion model's three networks as ONNX files of free sizes: condition, denoise and decode.

=========  ==========================================================  ============================
file       takes                                                       gives
=========  ==========================================================  ============================
condition  image ``[1, 3, H, W]``                                      condition ``[1, c, h, w]``
denoise    latents ``[1, K, C, h, w]``, timestep ``[1]``, condition    prediction ``[1, K, C, h, w]``
decode     latents, image                                              volume ``[1, K, 4, H, W]``
=========  ==========================================================  ============================

Of a model that is told the wind, denoise and decode take the strength ``[1]`` in pixels as well. The volume is what
`models.motion.model.MotionModel.sample` returns: in pixels, its normalisation undone and its amplitude bounded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.motion.image_encoder import SameConv2d
from models.motion.model import MotionModel

if TYPE_CHECKING:
    from onnx import ModelProto

EXAMPLE = (3, 5)  # multiples of the size that the export is traced at; two numbers, so that none counts as fixed
LARGEST = 256  # multiples of the size that a side may have
TIMESTEP = 500  # of the example
PADDED_STRIDE = 32  # of the image encoder


@dataclass(frozen=True)
class Part:
    """One network, and values to run it on."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, int]]  # input -> axis -> pixels of it for one multiple of the model's size
    output: str

    @torch.no_grad()
    def run(self) -> Tensor:
        """What PyTorch makes of the values."""
        return self.module(*self.inputs.values())


class _Calling(nn.Module):
    """A function of a model as a module, which is what can be exported."""

    def __init__(self, model: MotionModel, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.call = call
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(self.model, *inputs)


def _condition(model: MotionModel, image: Tensor) -> Tensor:
    return model.encode_condition(image)


def _denoise(
    model: MotionModel, latents: Tensor, timestep: Tensor, condition: Tensor, strength: Tensor | None = None
) -> Tensor:
    index = torch.arange(model.config.num_frequencies)[None]
    return model.denoise(latents, timestep, index, condition, strength=strength)


def _decode(model: MotionModel, latents: Tensor, image: Tensor, strength: Tensor | None = None) -> Tensor:
    return model.volume_of_latents(latents, image, strength=strength)


def network_parts(model: MotionModel, multiples: tuple[int, int] = EXAMPLE, seed: int = 0) -> list[Part]:
    """The parts of a model with noise to run them on.

    Args:
        model: on the CPU.
        multiples: (height, width) of the photo in multiples of the model's ``size_multiple``.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    pixel, config = model.size_multiple, model.config
    latent = pixel // model.autoencoder.downsampling
    height, width = multiples
    image = torch.rand(1, 3, height * pixel, width * pixel, generator=generator) * 2 - 1
    shape = (1, config.num_frequencies, model.autoencoder.latent_channels, height * latent, width * latent)
    latents = torch.randn(shape, generator=generator)
    with torch.no_grad():
        condition = model.encode_condition(image)
    entry = condition.shape[-1] // width
    strength = {"strength": torch.full((1,), float(model.usual_strength))} if config.wind else {}
    images, maps = {2: pixel, 3: pixel}, {3: latent, 4: latent}
    denoise = {"latents": latents, "timestep": torch.tensor([TIMESTEP]), "condition": condition}
    return [
        Part("condition", _Calling(model, _condition), {"image": image}, {"image": images}, "condition"),
        Part(
            "denoise",
            _Calling(model, _denoise),
            denoise | strength,
            {"latents": maps, "condition": {2: entry, 3: entry}},
            "prediction",
        ),
        Part(
            "decode",
            _Calling(model, _decode),
            {"latents": latents, "image": image} | strength,
            {"latents": maps, "image": images},
            "volume",
        ),
    ]


def exportable(model: MotionModel) -> MotionModel:
    """A copy whose image encoder, where it has one, pads by constants.

    Its padding depends on the size, but at multiples of its stride it is the same for all of them. Traced as a function
    of the size it makes the export take five times as long.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    if model.size_multiple % PADDED_STRIDE == 0:
        _pad_by_constants(model)
    return model


def _pad_by_constants(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, SameConv2d):
            setattr(module, name, _padded(child))
        else:
            _pad_by_constants(child)


def _padded(convolution: SameConv2d) -> nn.Module:
    (kernel, _), (stride, _) = convolution.kernel_size, convolution.stride
    total = kernel - stride
    plain = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, kernel, stride, groups=convolution.groups, device="meta"
    )
    plain.weight, plain.bias = convolution.weight, convolution.bias
    return nn.Sequential(nn.ZeroPad2d((total // 2, total - total // 2) * 2), plain)


def export_part(part: Part) -> ModelProto:
    """The ONNX model of a part, with free height and width.

    Raises:
        ValueError: in one line, where a package is missing or the network can't be exported.
    """
    check_packages()
    sides = {axis: torch.export.Dim(f"side{axis}", min=1, max=LARGEST) for axis in (0, 1)}
    shapes: dict[str, dict[int, Any]] = {name: {} for name in part.inputs}
    for name, axes in part.free.items():
        shapes[name] = {axis: factor * sides[place] for place, (axis, factor) in enumerate(axes.items())}
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                part.module,
                tuple(part.inputs.values()),
                dynamo=True,
                dynamic_shapes=(tuple(shapes.values()),),
                input_names=list(part.inputs),
                output_names=[part.output],
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"the part {part.name} of this model can't be exported to ONNX ({error})") from error
    assert program is not None  # it is None where a file was named
    return program.model_proto


def check_packages() -> None:
    """Raise ValueError in one line unless the packages of the export can be imported."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the studio is built with packages of its own ({error}): {INSTALL}") from error


INSTALL = "pip install -r requirements-studio.txt -c constraints.txt"
