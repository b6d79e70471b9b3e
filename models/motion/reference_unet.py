"""The reference implementation's U-Net: diffusers' `UNet2DModel` with its defaults, each frequency denoised by itself.

275.1 M parameters. Fifteen channels go in, the twelve of a noisy slice and then three of the photo's latents;
twelve come out. The frequency's index is embedded as timesteps are (``class_embed_type="timestep"``) and added to the
timestep's embedding. There is no attention across frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.checkpoint import load_weights
from common.plain import Depth, Width
from common.tensor_files import read_tensors
from models.motion.blocks import GroupNorm
from models.motion.denoiser import AutoencoderConfiguration, Denoiser

UNet2DModel = Any  # diffusers', which is imported where one is made; its class hides that it is a torch module


@dataclass(frozen=True)
class ReferenceUNetConfig:
    """Shape of a :class:`ReferenceUNet`; the defaults are those of diffusers' `UNet2DModel`."""

    block_channels: tuple[Width, Width, Width, Width] = (224, 448, 672, 896)  # width of each level
    layers_per_block: Depth = 2
    head_channels: Width = 8
    norm_groups: Width = 32
    condition_channels: Width = 3  # channels of the photo's latents
    slices_at_once: Width = 16  # a larger batch passes the network in parts, so that memory does not grow with it

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        return asdict(self)

    def check(self, *, joint: bool, autoencoder: AutoencoderConfiguration) -> None:
        """Refuse joint models, and autoencoders that give no photo latents of the right width."""
        if joint:
            raise ValueError("the reference U-Net denoises single frequencies; a joint model needs the other U-Net")
        if autoencoder.picture_channels is None:
            raise ValueError("the reference U-Net sees the photo as VQ latents; give it a VQ autoencoder")
        if self.condition_channels != autoencoder.picture_channels:
            condition, picture = self.condition_channels, autoencoder.picture_channels
            raise ValueError(f"the U-Net takes {condition} condition channels, the autoencoder gives {picture}")

    def build(
        self, *, num_frequencies: int, latent_channels: int, joint: bool, image_downsampling: int
    ) -> ReferenceUNet:
        """The untrained network, the same for any number of frequencies and any latents' resolution."""
        return ReferenceUNet(self, latent_channels)


class ReferenceUNet(Denoiser):
    """Predicts the diffusion target of noisy slices, given timestep, frequency and the photo's latents."""

    def __init__(self, config: ReferenceUNetConfig, latent_channels: int) -> None:
        super().__init__()
        self.config = config
        self.network = self.build_network(config, latent_channels)
        _use_float32_norms(self.network)
        # Embeddings of whole numbers come in float32, also where the weights are bfloat16.
        self.network.class_embedding.register_forward_pre_hook(
            lambda layer, values: (values[0].to(self.network.dtype),)
        )

    @staticmethod
    def build_network(config: ReferenceUNetConfig, latent_channels: int) -> UNet2DModel:
        """The diffusers network with random weights."""
        import diffusers

        return diffusers.UNet2DModel(
            in_channels=latent_channels + config.condition_channels,
            out_channels=latent_channels,
            block_out_channels=config.block_channels,
            layers_per_block=config.layers_per_block,
            attention_head_dim=config.head_channels,
            norm_num_groups=config.norm_groups,
            class_embed_type="timestep",
        )

    @property
    def downsampling(self) -> int:
        """Both sides of the latents must be multiples of this."""
        return 2 ** (len(self.config.block_channels) - 1)

    def forward(
        self,
        latents: Tensor,  # [B, K, C, h, w] noisy
        timestep: Tensor,  # [B], the same for all frequencies of a photo
        frequency_index: Tensor,  # [B, K] whole numbers
        condition: Tensor,  # [B, condition_channels, h, w]: latents of the photo, or zeros
        frequency_attention: bool = False,  # without meaning here: frequencies know nothing of each other
        strength: Tensor | None = None,  # without meaning here
    ) -> Tensor:
        """The prediction, ``[B, K, C, h, w]``: all slices as one batch, at most ``slices_at_once`` at a time."""
        count = latents.shape[1]
        inputs = torch.cat([latents.flatten(0, 1), condition.repeat_interleave(count, dim=0)], dim=1)
        inputs = inputs.to(self.network.dtype)
        size = self.config.slices_at_once
        times = timestep.repeat_interleave(count).split(size)
        parts = zip(inputs.split(size), times, frequency_index.flatten().split(size), strict=True)
        outputs = [self.network(part, time, index).sample for part, time, index in parts]
        return torch.cat(outputs).float().reshape(latents.shape)

    def encode_condition(self, image: Tensor, *, encode_image: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The photo's latents, ``[B, 3, H, W] -> [B, condition_channels, h, w]``; they take no gradient."""
        if encode_image is None:
            raise ValueError("the reference U-Net sees photos as the autoencoder's latents; give it encode_image")
        with torch.no_grad():
            return encode_image(image)

    def load_reference(self, source: str | Path | Mapping[str, Tensor]) -> None:
        """Load weights of a `UNet2DModel` of the same shape, strictly.

        Args:
            source: folder written by its ``save_pretrained``, a ``.safetensors`` file, or a state dict.
        """
        if isinstance(source, Mapping):
            load_weights(self.network, source, "state dict")
        else:
            load_weights(self.network, _read_state_dict(Path(source)), source)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of the one that a diffusers folder holds."""
    name = "diffusion_pytorch_model.safetensors"
    file = path / name if path.is_dir() else path
    if not file.is_file() or file.suffix != ".safetensors":
        raise ValueError(f"{path}: give a folder with {name}, as UNet2DModel.save_pretrained writes it, or such a file")
    return read_tensors(file)[0]


def _use_float32_norms(network: nn.Module) -> None:
    """Replace group normalisations, in place, by those that are fast in bfloat16 with channels last."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.GroupNorm:
                setattr(module, name, GroupNorm(child.num_groups, child.num_channels, child.eps, child.affine))
