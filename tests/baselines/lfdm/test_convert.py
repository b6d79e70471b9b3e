"""Checkpoints in the authors' names and shapes: made up, converted, and used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from baselines.lfdm.config import MUG, TINY, Preset
from baselines.lfdm.convert import AUTOENCODER_NAMES, UNET_NAMES, convert, renamed
from baselines.lfdm.data.datasets import MUG_LABELS
from baselines.lfdm.diffusion import LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.pipeline import LFDM, latent_channels

# Our name -> theirs, written out for whole families.
THEIRS_AUTOENCODER = (
    (r"^encoder\.first\.", "generator.first."),
    (r"^encoder\.down1\.", "generator.down_blocks.0."),
    (r"^encoder\.down2\.", "generator.down_blocks.1."),
    (r"^decoder\.residual\.(\d+)\.", r"generator.bottleneck.r\1."),
    (r"^decoder\.up1\.", "generator.up_blocks.0."),
    (r"^decoder\.up2\.", "generator.up_blocks.1."),
    (r"^decoder\.final\.", "generator.final."),
    (r"^flow_predictor\.hourglass\.down\.", "generator.pixelwise_flow_predictor.hourglass.encoder.down_blocks."),
    (r"^flow_predictor\.hourglass\.up\.", "generator.pixelwise_flow_predictor.hourglass.decoder.up_blocks."),
    (r"^flow_predictor\.mask_head\.", "generator.pixelwise_flow_predictor.mask."),
    (r"^flow_predictor\.occlusion_head\.", "generator.pixelwise_flow_predictor.occlusion."),
    (r"^region_predictor\.hourglass\.down\.", "region_predictor.predictor.encoder.down_blocks."),
    (r"^region_predictor\.hourglass\.up\.", "region_predictor.predictor.decoder.up_blocks."),
    (r"^region_predictor\.head\.", "region_predictor.regions."),
    (r"^background_predictor\.encoder\.", "bg_predictor.encoder."),
    (r"^background_predictor\.head\.", "bg_predictor.fc."),
)
THEIRS_UNET = (
    (r"^positions\.table\.", "time_rel_pos_bias.relative_attention_bias."),
    (r"^positions\.frequencies$", "init_temporal_attn.fn.fn.fn.rotary_emb.freqs"),
    (r"^stem\.", "init_conv."),
    (r"\.to_scale_shift\.", ".mlp.1."),
    (r"\.shortcut\.", ".res_conv."),
    (r"\.conv(\d)\.", r".block\1.proj."),
    (r"\.norm(\d)\.", r".block\1.norm."),
    (r"\.norm\.gain$", ".fn.norm.gamma"),
    (r"\.spatial\.to_", ".spatial.fn.fn.to_"),
    (r"\.attention\.to_", ".fn.fn.fn.to_"),
    (r"^stem_attention\.attention\.to_|^stem_attention\.", "init_temporal_attn."),
    (r"^middle_(spatial|temporal)\.", r"mid_\1_attn."),
    (r"^middle(\d)\.", r"mid_block\1."),
    (r"^embed_time\.0\.", "time_mlp.1."),
    (r"^embed_time\.2\.", "time_mlp.3."),
    (r"^(down|up)\.(\d+)\.block1\.", r"\1s.\2.0."),
    (r"^(down|up)\.(\d+)\.block2\.", r"\1s.\2.1."),
    (r"^(down|up)\.(\d+)\.spatial\.", r"\1s.\2.2."),
    (r"^(down|up)\.(\d+)\.temporal\.", r"\1s.\2.3."),
    (r"^up\.(\d+)\.resample\.conv\.", r"ups.\1.4.1."),
    (r"^(down|up)\.(\d+)\.resample\.", r"\1s.\2.4."),
    (r"^flow_head\.", "final_conv."),
    (r"^occlusion_head\.", "occlusion_map."),
)


def theirs(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def published_files(preset: Preset, folder: Path, *, unpublished: dict[str, Tensor] | None = None) -> tuple:
    """Both files in the authors' names, and the models that they hold."""
    torch.manual_seed(3)
    first = FlowAutoencoder(preset.autoencoder)
    second = LatentFlowDiffusion(replace(preset.diffusion, condition="text"), latent_channels(preset.autoencoder))
    parts: dict[str, dict] = {
        "generator": {"down.weight": torch.zeros(3, 1, 13, 13)},
        "region_predictor": {},
        "bg_predictor": {},
    }
    for name, tensor in first.state_dict().items():
        part, _, rest = theirs(name, THEIRS_AUTOENCODER).partition(".")
        parts[part]["module." + rest] = tensor
    unet = {f"denoise_fn.{theirs(name, THEIRS_UNET)}": t for name, t in second.unet.state_dict().items()}
    unet = {name: t.view(1, -1, 1, 1, 1) if name.endswith("gamma") else t for name, t in unet.items()}
    paths = folder / "first.pth", folder / "second.pth"
    torch.save({"example": 5, **parts}, paths[0])
    torch.save({"example": 7, "diffusion": {"betas": torch.zeros(3), **unet, **(unpublished or {})}}, paths[1])
    return *paths, first, second


def test_converted_networks_are_the_same(tmp_path: Path) -> None:
    one, two, first, second = published_files(TINY, tmp_path)
    convert(one, tmp_path / "run", diffusion=two, preset=TINY)
    found = LFDM.from_pretrained(tmp_path / "run")
    for name, tensor in first.state_dict().items():
        assert torch.equal(found.autoencoder.state_dict()[name], tensor), name
    assert found.diffusion is not None
    for name, tensor in second.unet.state_dict().items():
        assert torch.equal(found.diffusion.unet.state_dict()[name], tensor), name
    assert found.diffusion.config.labels == MUG_LABELS


@pytest.mark.parametrize("upsampling", ["deconv", "nearest"])
def test_the_table_covers_the_published_shapes(upsampling: str) -> None:
    config = replace(MUG.diffusion, upsampling=upsampling)
    with torch.device("meta"):
        first = FlowAutoencoder(MUG.autoencoder)
        unet = LatentFlowDiffusion(config, latent_channels(MUG.autoencoder)).unet
    for model, table, names in ((first, THEIRS_AUTOENCODER, AUTOENCODER_NAMES), (unet, THEIRS_UNET, UNET_NAMES)):
        state = {theirs(name, table): tensor for name, tensor in model.state_dict().items()}
        found = renamed(state, names, model, source=Path("file"))
        assert {name: t.shape for name, t in found.items()} == {n: t.shape for n, t in model.state_dict().items()}


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    one, two, *_ = published_files(TINY, tmp_path, unpublished={"denoise_fn.extra.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"second\.pth: no names for 1 of its tensors, such as extra\.weight"):
        convert(one, tmp_path / "run", diffusion=two, preset=TINY)
    with pytest.raises(ValueError, match=r"first\.pth: \d+ tensors don't fit the configured model"):
        convert(
            one,
            tmp_path / "run",
            diffusion=None,
            preset=replace(TINY, autoencoder=replace(TINY.autoencoder, regions=5)),
        )
    with pytest.raises(ValueError, match=r"second\.pth: has no tensors under 'generator', only example, diffusion"):
        convert(two, tmp_path / "run", diffusion=None, preset=TINY)
    torch.save({"generator": {}, "other": Path("pickled")}, tmp_path / "objects.pth")
    with pytest.raises(ValueError, match=r"objects\.pth: not a checkpoint of tensors alone"):
        convert(tmp_path / "objects.pth", tmp_path / "run", diffusion=None, preset=TINY)


def test_names_can_be_given(tmp_path: Path) -> None:
    one, two, *_ = published_files(TINY, tmp_path)
    file = torch.load(two, weights_only=True)
    file["diffusion"] = {n.replace("occlusion_map", "masks"): t for n, t in file["diffusion"].items()}
    torch.save(file, two)
    names = tmp_path / "names.json"
    names.write_text('{"masks\\\\.": "occlusion_head."}')
    convert(one, tmp_path / "run", diffusion=two, preset=TINY, names=names)
    assert LFDM.from_pretrained(tmp_path / "run").diffusion is not None
    names.write_text('{"(": 3}')
    with pytest.raises(ValueError, match="not a JSON object of regular expressions"):
        convert(one, tmp_path / "run", diffusion=two, preset=TINY, names=names)
