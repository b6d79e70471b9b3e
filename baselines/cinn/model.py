"""The whole model: a photo and noise become a video, a clip's motion passes to another photo; and its checkpoint.

A run folder holds a checkpoint for each stage, ``vae``, ``condition`` and ``flow``, each with the best one beside the
last where a metric chose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from baselines.cinn.config import STAGES, FlowConfig, ModelConfig
from baselines.cinn.networks.condition import ConditionEncoder
from baselines.cinn.networks.decoder import VideoDecoder
from baselines.cinn.networks.flow import ConditionalFlow
from baselines.cinn.networks.resnet import VideoEncoder
from common.checkpoint import (
    build_shell,
    expect_fitting,
    load_checkpoint,
    load_config,
    load_weights,
    save_checkpoint,
)
from common.hashing import content_hash
from common.plain import from_plain
from common.tensor_files import tensor_shapes

Rollout = Literal["same_code", "new_code"]  # config.ROLLOUTS


class StochasticImageToVideo(nn.Module):
    """All networks that inference needs."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = VideoEncoder(config.video), VideoDecoder(config.video)
        self.condition = ConditionEncoder(config.condition)
        self.flow = ConditionalFlow(config.flow)

    def part(self, stage: str) -> nn.ModuleDict:
        """The networks that a stage trains, by name."""
        names = {"vae": ("encoder", "decoder"), "condition": ("condition",), "flow": ("flow",)}[stage]
        return nn.ModuleDict({name: getattr(self, name) for name in names})

    def embedding(self, photo: Tensor, control: Tensor | None = None) -> Tensor:
        """What the flow is told: ``[B, 3, H, W]`` and, for a controlled model, ``[B, C]`` -> ``[B, E]``.

        Raises:
            ValueError: control for a model without, or none for one with it.
        """
        config = self.config.flow
        given = 0 if control is None else control.shape[1]
        if given != config.control:
            raise ValueError(f"the model is controlled by {config.control} numbers, got {given}")
        about = self.condition(photo)
        return about if control is None or not given else torch.cat([about, control_code(control, config)], dim=1)

    @torch.no_grad()
    def sample(
        self,
        photo: Tensor,
        num_frames: int,
        *,
        generator: torch.Generator,
        rollout: Rollout = "same_code",
        control: Tensor | None = None,
    ) -> Tensor:
        """Random videos: ``[B, 3, H, W]`` in [-1, 1] -> the frames that follow, ``[B, num_frames, 3, H, W]``.

        Args:
            generator: of the noise, on the CPU.
            rollout: beyond the length of a clip the last frame is the next photo, under the same code (published) or
                under one drawn anew, told of that frame.
            control: ``[B, C]`` where the last frame of each clip shall be, for a controlled model.
        """

        def draw(about: Tensor) -> Tensor:
            noise = torch.randn(len(photo), self.config.video.code, generator=generator)
            return self.flow.inverse(noise.to(photo), self.embedding(about, control))

        code = draw(photo)
        clips = [self.decoder(photo, code)]
        while sum(clip.shape[1] for clip in clips) < num_frames:
            last = clips[-1][:, -1]
            code = draw(last) if rollout == "new_code" else code
            clips.append(self.decoder(last, code))
        return torch.cat(clips, dim=1)[:, :num_frames]

    @torch.no_grad()
    def reconstruct(self, clip: Tensor) -> Tensor:
        """A clip ``[B, T + 1, 3, H, W]``, photo first, from the mean of its code: ``[B, T, 3, H, W]``."""
        return self.decoder(clip[:, 0], self.encoder(clip[:, 1:], clip[:, 0])[0])

    @torch.no_grad()
    def transfer(self, clip: Tensor, photo: Tensor, *, num_frames: int | None = None) -> Tensor:
        """The motion of a clip ``[1, T + 1, 3, H, W]``, photo first, for other photos ``[B, 3, H, W]``.

        The clip's residual under its own photo becomes a code under each other one. Returns ``[B, T, 3, H, W]``.
        """
        mean, _ = self.encoder(clip[:, 1:], clip[:, 0])
        residual, _ = self.flow(mean, self.embedding(clip[:, 0]))
        code = self.flow.inverse(residual.expand(len(photo), -1), self.embedding(photo))
        clips = [self.decoder(photo, code)]
        wanted = num_frames or self.config.video.frames
        while len(clips) * self.config.video.frames < wanted:
            clips.append(self.decoder(clips[-1][:, -1], code))
        return torch.cat(clips, dim=1)[:, :wanted]

    @classmethod
    def from_pretrained(cls, folder: Path) -> StochasticImageToVideo:
        """The model of a run folder whose stages were all trained, in evaluation mode.

        Raises:
            ValueError: a stage is missing or damaged, or was trained on other networks than those beside it.
        """
        missing = [stage for stage in STAGES if not (folder / stage / "config.json").is_file()]
        if missing:
            raise ValueError(
                f"{folder}: no checkpoint of the stage {missing[0]}; train it: "
                f"python -m baselines.cinn train --stage {missing[0]} --output {folder}"
            )
        config, tensors = load_checkpoint(stage_folder(folder, "flow"), kind_of("flow"))
        where = str(stage_folder(folder, "flow") / "config.json")
        configured = from_plain(ModelConfig, config["model"], where, key="model")
        shell = build_shell(lambda: cls(configured), where)
        for stage in STAGES:
            shell.expect_stage(folder, stage)
        model = cls(configured)
        load_weights(model.flow, unprefixed(tensors, "flow"), stage_folder(folder, "flow"))
        for stage in STAGES[:2]:
            digest = model.load_stage(folder, stage)
            expected = config["training"].get(f"{stage}_sha256")
            if expected not in (None, digest):
                raise ValueError(f"{folder / 'flow'}: trained on another {stage} than the one beside it; train it anew")
        return model.eval().requires_grad_(False)

    @classmethod
    def with_stage(cls, folder: Path, stage: str) -> StochasticImageToVideo:
        """The model of a run folder of which one stage alone is loaded, in evaluation mode.

        Raises:
            ValueError: there is no checkpoint of the stage, or a damaged one.
        """
        place = stage_folder(folder, stage)
        where = str(place / "config.json")
        configured = from_plain(ModelConfig, load_config(place, kind_of(stage))["model"], where, key="model")
        build_shell(lambda: cls(configured), where)
        model = cls(configured)
        model.load_stage(folder, stage)
        return model.eval().requires_grad_(False)

    def load_stage(self, folder: Path, stage: str) -> str:
        """Load a stage's networks from a run folder and return the hash of their weights."""
        self.expect_stage(folder, stage)
        place = stage_folder(folder, stage)
        _, tensors = load_checkpoint(place, kind_of(stage))
        load_weights(self.part(stage), tensors, place)
        return content_hash(tensors)

    def expect_stage(self, folder: Path, stage: str) -> None:
        """Raise ValueError unless a stage of a run folder has networks of this model's shape; no weights are read."""
        place = stage_folder(folder, stage)
        values = load_config(place, kind_of(stage))["model"]
        theirs, ours = from_plain(ModelConfig, values, str(place / "config.json"), key="model"), self.config
        if (theirs.video, theirs.condition.size) != (ours.video, ours.condition.size):
            raise ValueError(f"{place}: its networks have another shape than this run's; choose the same --preset")
        expect_fitting(self.part(stage), tensor_shapes(place / "model.safetensors"), place)

    def save_stage(self, folder: Path, stage: str, *, training: Mapping[str, object]) -> None:
        """Write a stage's networks as a checkpoint folder."""
        save_checkpoint(
            folder,
            kind_of(stage),
            model_config=self.config.to_plain(),
            tensors=self.part(stage).state_dict(),
            training=dict(training),
        )


def kind_of(stage: str) -> str:
    """What a stage's checkpoint says it is."""
    return f"cinn_{stage}"


def stage_folder(folder: Path, stage: str) -> Path:
    """Where a run folder keeps a stage: its best checkpoint where one was chosen."""
    best = folder / stage / "best"
    return best if (best / "config.json").is_file() else folder / stage


def unprefixed(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a name, without it."""
    return {
        name.removeprefix(prefix + "."): tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")
    }


def control_code(control: Tensor, config: FlowConfig) -> Tensor:
    """Positions ``[B, C]`` as one of ``control_bins`` equal intervals each: ``[B, C * bins]`` of zeros and ones.

    The intervals divide the range that the training data had; the largest position belongs to the last one.
    """
    low, high = (control.new_tensor(values) for values in (config.control_minimum, config.control_maximum))
    place = (control - low) / (high - low).clamp_min(1e-12) * config.control_bins
    bins = place.floor().long().clamp(0, config.control_bins - 1)
    return torch.nn.functional.one_hot(bins, config.control_bins).flatten(1).to(control)
