"""The reference implementation's autoencoder: the pretrained `vqvae` of CompVis/ldm-celebahq-256, never trained here.

It was made for RGB pictures. Each of a slice's four scalar channels is repeated to RGB and encoded to three latent
channels, twelve a slice; decoding averages over RGB. The photo itself is encoded to three channels, which is the
image condition of the reference U-Net (`models.motion.reference_unet`). Latents are neither scaled nor whitened.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from common.checkpoint import load_weights
from common.plain import Depth, Range, Width, Widths, read_json
from models.motion.slice_autoencoder import SLICE_CHANNELS, SliceAutoencoder

Codes = Annotated[int, Range(1, 1 << 20)]
VQModel = Any  # diffusers', which is imported where one is made; its class hides that it is a torch module
HUB_ID = "CompVis/ldm-celebahq-256"
SUBFOLDER = "vqvae"
WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
LOCAL_COPY = f"give a local copy of {HUB_ID}'s folder {SUBFOLDER} (config.json and {WEIGHT_FILES[0]} or .bin)"


@dataclass(frozen=True)
class VQAutoencoderConfig:
    """Shape of a :class:`VQAutoencoder` and where its weights come from; the defaults are ldm-celebahq-256's."""

    source: str = HUB_ID  # hub id, or folder with or without the subfolder vqvae; a checkpoint carries the weights
    block_channels: Widths = (128, 256, 512)  # width of each level, halving the resolution in between
    layers_per_block: Depth = 2
    picture_channels: Width = 3  # latent channels of one RGB picture
    codes: Codes = 8192  # size of the codebook
    norm_groups: Width = 32
    quantize: bool = True  # whether decoding first moves each latent vector to its nearest code
    slices_at_once: Width = 1  # encoded or decoded together; each is four RGB pictures

    @property
    def latent_channels(self) -> int:
        """Of one slice."""
        return SLICE_CHANNELS * self.picture_channels

    @classmethod
    def from_source(cls, source: str | Path = HUB_ID) -> VQAutoencoderConfig:
        """The shape that the files of a hub id or folder have."""
        return cls._of_network(load_vq_model(source), str(source))

    @classmethod
    def _of_network(cls, network: VQModel, source: str) -> VQAutoencoderConfig:
        values = network.config
        return cls(
            source=source,
            block_channels=tuple(values["block_out_channels"]),
            layers_per_block=values["layers_per_block"],
            picture_channels=values["latent_channels"],
            codes=values["num_vq_embeddings"],
            norm_groups=values["norm_num_groups"],
        )

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        return asdict(self)

    def build(self, num_frequencies: int) -> VQAutoencoder:
        """The autoencoder, whose weights are still to be loaded."""
        return VQAutoencoder(self, num_frequencies)

    def build_network(self) -> VQModel:
        """diffusers' network with random weights."""
        import diffusers

        levels = len(self.block_channels)
        return diffusers.VQModel(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=self.block_channels,
            layers_per_block=self.layers_per_block,
            latent_channels=self.picture_channels,
            num_vq_embeddings=self.codes,
            norm_num_groups=self.norm_groups,
        )


class VQAutoencoder(SliceAutoencoder):
    """Normalised slices ``[N, 4, H, W] <-> [N, 12, H/4, W/4]`` by a frozen network for RGB pictures.

    Latent channels are those of Re x, then Re y, Im x, Im y, three each. The encoder's output is not quantised, so
    that diffusion has continuous latents; decoding quantises, which is what `VQModel.decode` does unless
    ``force_not_quantize`` is set, and what latent diffusion trained this decoder for. ``quantize=False`` leaves it out.
    Gradients pass the quantisation unchanged (straight through), so loop guidance works either way.

    A new one has random weights and refuses to work until :meth:`load_frozen_weights` or a checkpoint, which carries
    them, has filled it.
    """

    gradient_slices = 1

    def __init__(self, config: VQAutoencoderConfig, num_frequencies: int) -> None:
        super().__init__(config.latent_channels, num_frequencies)
        self.config = config
        self.downsampling = 2 ** (len(config.block_channels) - 1)
        self.slices_at_once = config.slices_at_once
        self.network = config.build_network().requires_grad_(False)
        self.register_buffer("weights_loaded", torch.zeros((), dtype=torch.bool))
        self.weights_loaded: Tensor

    def load_frozen_weights(self) -> None:
        """Load the weights from the configuration's source."""
        self.adopt(load_vq_model(self.config.source))

    def adopt(self, network: VQModel) -> None:
        """Take over the weights of a diffusers `VQModel` of the same shape."""
        load_weights(self.network, network.state_dict(), self.config.source)
        self.weights_loaded.fill_(True)

    def train(self, mode: bool = True) -> VQAutoencoder:
        """Stays in evaluation mode, whatever the model around it does."""
        return super().train(False)

    def encode_slices(self, slices: Tensor) -> Tensor:
        """``[N, 4, H, W]`` normalised -> ``[N, 12, H/4, W/4]``, not quantised."""
        pictures = slices.reshape(-1, 1, *slices.shape[2:]).expand(-1, 3, -1, -1)
        return self._encode_pictures(pictures).reshape(len(slices), self.latent_channels, *self._latent_size(slices))

    def encode_image(self, image: Tensor) -> Tensor:
        """Photos ``[B, 3, H, W]`` in [-1, 1] -> ``[B, 3, H/4, W/4]``, not quantised."""
        parts = image.split(SLICE_CHANNELS * self.config.slices_at_once)
        return torch.cat([self._encode_pictures(part) for part in parts])

    def decode_latent(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """``[N, 12, h, w] -> [N, 4, 4h, 4w]``; it looks at no photo."""
        self._check_weights()
        pictures = latent.reshape(-1, self.config.picture_channels, *latent.shape[2:])
        decoded = self.network.decode(pictures, force_not_quantize=not self.config.quantize).sample.float()
        return decoded.mean(dim=1).unflatten(0, (len(latent), SLICE_CHANNELS))

    def _encode_pictures(self, pictures: Tensor) -> Tensor:
        self._check_weights()
        self._latent_size(pictures)
        return self.network.encode(pictures).latents.float()

    def _latent_size(self, pictures: Tensor) -> tuple[int, int]:
        height, width = pictures.shape[-2:]
        factor = self.downsampling
        if height % factor or width % factor:
            raise ValueError(f"pictures of {width}x{height} can't be encoded: both sides must be multiples of {factor}")
        return height // factor, width // factor

    def _check_weights(self) -> None:
        if not self.weights_loaded:
            raise ValueError("the VQ autoencoder has no weights yet: call load_frozen_weights() or load a checkpoint")


def load_vq_model(source: str | Path) -> VQModel:
    """The pretrained `VQModel` of a hub id or folder, either with the network in a subfolder ``vqvae`` or itself one.

    Weights are safetensors where there are some, else diffusers' older ``.bin`` (all that the hub has of
    ldm-celebahq-256), which diffusers reads with ``weights_only``: nothing but tensors is unpickled.
    """
    import diffusers

    folder = Path(source)
    arguments: dict[str, Any] = {"low_cpu_mem_usage": False, "output_loading_info": True}
    if folder.exists():
        folder = _network_folder(folder)
        if not (folder / WEIGHT_FILES[0]).is_file():
            said = "no safetensors there; PyTorch reads the .bin with weights_only, which makes tensors alone"
            print(f"note: {folder}: {said}", file=sys.stderr)
    else:
        arguments["subfolder"] = SUBFOLDER
    try:
        network, loaded = diffusers.VQModel.from_pretrained(str(folder), **arguments)
    except Exception as error:  # neither diffusers' nor the hub's errors share a base class across their versions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "subfolder" in arguments:
            problem = f"no such folder, nor could {SUBFOLDER} be had from the hub ({reason}); {LOCAL_COPY}"
        else:
            problem = f"can't be read as a VQModel ({reason}); {LOCAL_COPY}"
        raise ValueError(f"{source}: {problem}") from None
    wrong = [*loaded["missing_keys"], *loaded["mismatched_keys"]]  # which diffusers would leave random
    if wrong:
        raise ValueError(
            f"{source}: {len(wrong)} tensors missing or of another shape, such as {wrong[0]}; {LOCAL_COPY}"
        )
    return network.eval()


def _network_folder(folder: Path) -> Path:
    """The folder that holds the network's files, checked."""
    nested = folder / SUBFOLDER
    folder = nested if nested.is_dir() else folder
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        missing.append(" or ".join(WEIGHT_FILES))
    if missing:
        raise ValueError(f"{folder}: not a VQModel, {' and '.join(missing)} missing; {LOCAL_COPY}")
    try:
        name = read_json(folder / "config.json").get("_class_name", "VQModel")
    except ValueError:
        raise ValueError(f"{folder / 'config.json'}: not a VQModel's configuration; {LOCAL_COPY}") from None
    if name != "VQModel":
        raise ValueError(f"{folder}: holds a {name}, where a VQModel is needed; {LOCAL_COPY}")
    return folder
