"""Reading checkpoints that LFDM's authors have published: tensors alone, by a table of names.

The table was written from the modules' published structure and not checked against a file of the authors, whose licence
does not let us pass theirs on. Whatever it does not name, or names wrongly, is refused; ``--names`` mends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.lfdm.config import MHAD, NATOPS, Preset
from baselines.lfdm.data.datasets import MHAD_LABELS, MUG_LABELS, NATOPS_LABELS
from baselines.lfdm.diffusion import LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.pipeline import latent_channels, save_autoencoder, save_diffusion
from common.checkpoint import load_weights
from common.tensor_files import read_torch_file

AUTOENCODER_PARTS = ("generator", "region_predictor", "bg_predictor")  # entries of their first file
DIFFUSION_PART = "diffusion"  # entry of their second file

# Beginning of their name, a regular expression -> of ours; the first that fits.
AUTOENCODER_NAMES = {
    r"generator\.first\.": r"encoder.first.",
    r"generator\.down_blocks\.0\.": r"encoder.down1.",
    r"generator\.down_blocks\.1\.": r"encoder.down2.",
    r"generator\.bottleneck\.r(\d+)\.": r"decoder.residual.\1.",
    r"generator\.up_blocks\.0\.": r"decoder.up1.",
    r"generator\.up_blocks\.1\.": r"decoder.up2.",
    r"generator\.final\.": r"decoder.final.",
    r"generator\.pixelwise_flow_predictor\.hourglass\.encoder\.down_blocks\.": r"flow_predictor.hourglass.down.",
    r"generator\.pixelwise_flow_predictor\.hourglass\.decoder\.up_blocks\.": r"flow_predictor.hourglass.up.",
    r"generator\.pixelwise_flow_predictor\.mask\.": r"flow_predictor.mask_head.",
    r"generator\.pixelwise_flow_predictor\.occlusion\.": r"flow_predictor.occlusion_head.",
    r"region_predictor\.predictor\.encoder\.down_blocks\.": r"region_predictor.hourglass.down.",
    r"region_predictor\.predictor\.decoder\.up_blocks\.": r"region_predictor.hourglass.up.",
    r"region_predictor\.regions\.": r"region_predictor.head.",
    r"bg_predictor\.encoder\.(?:down_blocks\.)?": r"background_predictor.encoder.",
    r"bg_predictor\.fc\.": r"background_predictor.head.",
}
UNET_NAMES = {
    r"time_rel_pos_bias\.relative_attention_bias\.": "positions.table.",
    r"init_temporal_attn\.fn\.fn\.fn\.rotary_emb\.freqs": "positions.frequencies",
    r"init_conv\.": "stem.",
    r"init_temporal_attn\.": "stem_attention.",
    r"time_mlp\.1\.": "embed_time.0.",
    r"time_mlp\.3\.": "embed_time.2.",
    r"(down|up)s\.(\d+)\.0\.": r"\1.\2.block1.",
    r"(down|up)s\.(\d+)\.1\.": r"\1.\2.block2.",
    r"(down|up)s\.(\d+)\.2\.": r"\1.\2.spatial.",
    r"(down|up)s\.(\d+)\.3\.": r"\1.\2.temporal.",
    r"ups\.(\d+)\.4\.1\.": r"up.\1.resample.conv.",
    r"(down|up)s\.(\d+)\.4\.": r"\1.\2.resample.",
    r"mid_block(\d)\.": r"middle\1.",
    r"mid_spatial_attn\.": "middle_spatial.",
    r"mid_temporal_attn\.": "middle_temporal.",
    r"final_conv\.": "flow_head.",
    r"occlusion_map\.": "occlusion_head.",
}
# Within those parts of the U-Net.
INNER_NAMES = {
    r"\.fn\.norm\.gamma$": ".norm.gain",
    r"attention(?:\.fn)+\.to_": "attention.attention.to_",
    r"(middle_spatial|middle_temporal|temporal)(?:\.fn)+\.to_": r"\1.attention.to_",
    r"spatial(?:\.fn)+\.to_": "spatial.to_",
    r"\.mlp\.1\.": ".to_scale_shift.",
    r"\.block(\d)\.proj\.": r".conv\1.",
    r"\.block(\d)\.norm\.": r".norm\1.",
    r"\.res_conv\.": ".shortcut.",
}
# What has no place here: fixed kernels, the schedule, copies of the rotary frequencies.
IGNORED = re.compile(
    r"^generator\.(pixelwise_flow_predictor\.)?down\.|^region_predictor\.down\.|rotary_emb\.freqs$"
    r"|^(betas|alphas\w*|sqrt_\w+|log_\w+|posterior_\w+|p2_\w+)$"
)


def convert(
    autoencoder: Path, output: Path, *, diffusion: Path | None, preset: Preset, names: Path | None = None
) -> None:
    """Write a run folder from the authors' files.

    Args:
        names: JSON of further names, ``{beginning of theirs, a regular expression: of ours}``, tried first.

    Raises:
        ValueError: in one line, for a file that is something else or holds tensors without a place.
    """
    more = _read_names(names)
    model = FlowAutoencoder(preset.autoencoder)
    file = _read(autoencoder)
    tensors = {f"{part}.{name}": t for part in AUTOENCODER_PARTS for name, t in _entry(file, part, autoencoder).items()}
    load_weights(model, renamed(tensors, more | AUTOENCODER_NAMES, model, source=autoencoder), autoencoder)
    provenance = {"converted_from": autoencoder.name}
    save_autoencoder(output / "autoencoder", model, provenance)
    if diffusion is None:
        return
    labels = {MHAD: MHAD_LABELS, NATOPS: NATOPS_LABELS}.get(preset, MUG_LABELS)
    config = replace(preset.diffusion, condition="text", labels=labels)
    second = LatentFlowDiffusion(config, latent_channels(preset.autoencoder))
    tensors = _entry(_read(diffusion), DIFFUSION_PART, diffusion)
    unet = {n.removeprefix("denoise_fn."): t for n, t in tensors.items()}
    null = unet.pop("null_cond_emb", None)
    load_weights(second.unet, renamed(unet, more | UNET_NAMES, second.unet, source=diffusion), diffusion)
    if null is not None and config.learn_null:
        with torch.no_grad():
            second.no_condition.copy_(null.reshape(-1))
    provenance = {"converted_from": diffusion.name}
    save_diffusion(output / "diffusion", second, provenance, autoencoder=model)


def renamed(
    tensors: Mapping[str, Tensor], table: Mapping[str, str], model: nn.Module, *, source: Path
) -> dict[str, Tensor]:
    """Tensors under our names and in our shapes, from which axes of length one may be missing or left over.

    Raises:
        ValueError: tensors that no entry of the table names.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found, unknown = {}, []
    for theirs, tensor in tensors.items():
        ours = _our_name(theirs, table)
        if ours is None:
            unknown += [] if IGNORED.search(theirs) else [theirs]
            continue
        shape = shapes.get(ours)
        same = shape is not None and [n for n in shape if n > 1] == [n for n in tensor.shape if n > 1]
        found[ours] = tensor.reshape(shape) if same and shape is not None else tensor
    if unknown:
        raise ValueError(
            f"{source}: no names for {len(unknown)} of its tensors, such as {', '.join(unknown[:3])}; give --names"
        )
    return found


def _our_name(theirs: str, table: Mapping[str, str]) -> str | None:
    for pattern, ours in table.items():
        match = re.match(pattern, theirs)
        if match:
            name = match.expand(ours) + theirs[match.end() :]
            for inner, replacement in INNER_NAMES.items():
                name = re.sub(inner, replacement, name)
            return name
    return None


def _read(path: Path) -> dict:
    file = read_torch_file(path, advice="give a checkpoint of LFDM's authors")
    if not isinstance(file, dict):
        raise ValueError(f"{path}: not a checkpoint of LFDM's authors, which has several entries")
    return file


def _entry(file: dict, name: str, path: Path) -> dict[str, Tensor]:
    entry = file.get(name)
    if not isinstance(entry, Mapping) or not all(isinstance(value, Tensor) for value in entry.values()):
        raise ValueError(f"{path}: has no tensors under {name!r}, only {', '.join(map(str, file)) or 'nothing'}")
    return {key.removeprefix("module."): value for key, value in entry.items()}


def _read_names(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        assert all(isinstance(value, str) for value in names.values())
        for pattern in names:
            re.compile(pattern)
    except (ValueError, AttributeError, AssertionError, re.error) as error:
        raise ValueError(f"{path}: not a JSON object of regular expressions and names ({error})") from None
    return names
