"""Both stages as tasks of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.lfdm.config import StageTraining
from baselines.lfdm.data.batches import ClipBatches, PairBatches, VideoBatch
from baselines.lfdm.diffusion import FlowCodec, LatentFlowDiffusion, add_noise
from baselines.lfdm.losses import Deformation, Portions, equivariance, freeze
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.perceptual import PyramidLoss
from baselines.lfdm.pipeline import save_autoencoder, save_diffusion
from baselines.lfdm.validation import (
    RECONSTRUCTION_FIGURES,
    SAMPLE_FIGURES,
    ReconstructionValidation,
    SampleValidation,
)
from data.media.images import write_image
from training.best import Goal
from training.state import StepSamples
from training.task import STEP_TIMES, Findings, Plan, Update

AUTOENCODER_PARTS = ("loss", "perceptual", "shift", "affine")
DIFFUSION_PARTS = ("loss", "flow", "occlusion")
RECONSTRUCTION_GOALS = {"l1": Goal("l1", -1)}
SAMPLE_GOALS = {"localisation": Goal("localisation", 1)}


class AutoencoderLoss(nn.Module):
    """Reconstruction of the second frame of a pair from the first, and equivariance of the regions if there are any."""

    def __init__(self, model: FlowAutoencoder, distance: PyramidLoss, training: StageTraining) -> None:
        super().__init__()
        self.model, self.distance = model, distance
        self.perceptual_weight, self.equivariance_weights = training.perceptual_weight, training.equivariance_weights

    def forward(self, batch: VideoBatch, samples: StepSamples) -> tuple[Tensor, Tensor]:
        """See `training.task.Update`."""
        source, driving = batch.frames.unbind(dim=1)
        regions = self.model.regions(driving)
        flow = self.model.estimate(source, driving, driving_regions=regions)
        frame, _ = self.model.decode(source, self.model.encode(source), flow)
        perceptual = self.perceptual_weight * self.distance(frame, driving)
        shift = affine = torch.zeros_like(perceptual)
        if regions is not None:
            deformation = Deformation.random(samples.normal, driving.device)
            deformed = self.model.region_predictor(deformation.apply(driving))
            errors = equivariance(regions, deformed, deformation)
            shift, affine = (weight * e for weight, e in zip(self.equivariance_weights, errors, strict=True))
        whole, portions = perceptual + shift + affine, Portions()
        for part in (whole, perceptual, shift, affine):
            portions.add(part)
        return whole.mean(), portions.all()


class DiffusionLoss(nn.Module):
    """Squared error of the predicted noise, of flow volumes that the frozen autoencoder finds."""

    def __init__(self, diffusion: LatentFlowDiffusion, autoencoder: FlowAutoencoder) -> None:
        super().__init__()
        self.diffusion, self.autoencoder = diffusion, freeze(autoencoder)

    def forward(self, batch: VideoBatch, samples: StepSamples) -> tuple[Tensor, Tensor]:
        """See `training.task.Update`."""
        config, device = self.diffusion.config, batch.frames.device
        volume, latent = flow_volumes(self.diffusion.codec, self.autoencoder, batch.frames)
        noise = samples.normal(volume.shape[1:]).to(device)
        times = (samples.uniform() * config.steps).long()
        dropped = (samples.uniform() < config.condition_drop).tolist()
        without = config.condition == "none"
        names = [None if drop or without else name for drop, name in zip(dropped, batch.conditions, strict=True)]
        noisy = add_noise(volume, noise, self.diffusion.alphas[times])
        condition = self.diffusion.embed(names)
        predicted = self.diffusion.unet(noisy, times.to(device), latent=latent, condition=condition)
        errors = (predicted - noise).square()
        portions = Portions()
        for part in (errors, errors[:, :2], errors[:, 2:]):
            portions.add(part.flatten(1).mean(dim=1))
        return errors.mean(), portions.all()


@torch.no_grad()
def flow_volumes(codec: FlowCodec, autoencoder: FlowAutoencoder, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Flow from the first frame of each clip ``[B, T, 3, H, W]`` to all: ``[B, 3, T, h, w]``; latents of the first.

    No frame is drawn for that, and all is in float32, whatever the training around it is in.
    """
    count = frames.shape[1]
    first = frames[:, :1].expand_as(frames).flatten(0, 1)
    with torch.autocast(frames.device.type, enabled=False):
        regions = autoencoder.regions(frames[:, 0])
        flow = autoencoder.estimate(first, frames.flatten(0, 1), source_regions=regions)
        return codec.encode(flow, count), autoencoder.encode(frames[:, 0]).latent


class AutoencoderTask:
    """The first stage as a task of the loop."""

    def __init__(
        self,
        model: FlowAutoencoder,
        training: StageTraining,
        *,
        batches: PairBatches,
        distance: PyramidLoss,
        validation: ReconstructionValidation | None,
        output: Path,
        provenance: Mapping[str, object],
    ) -> None:
        self.model, self.averaged = model, model
        self.batches, self.validation = batches, validation
        self.output, self.provenance = output, provenance
        figures = RECONSTRUCTION_FIGURES if validation else ()
        goals = RECONSTRUCTION_GOALS if validation else {}
        self.plan = _plan("autoencoder", training, parts=AUTOENCODER_PARTS, figures=figures, goals=goals, stream=0)
        self.updates = [_update(AutoencoderLoss(model, distance, training), training, model, AUTOENCODER_PARTS)]

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable = map) -> list[VideoBatch]:
        """See `training.task.Task.draw`."""
        return [self.batches.draw(part.generators, map_samples) for part in parts]

    def validate(self, step: int) -> Findings | None:
        """See `training.task.Task.validate`."""
        if self.validation is None:
            return None
        figures, picture = self.validation(self.model)
        return _findings("autoencoder", step, figures, picture, self.output)

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        """See `training.task.Task.save`."""
        save_autoencoder(folder, self.model, {**self.plan.identity, "step": step, **self.provenance, **more})


class DiffusionTask:
    """The second stage as a task of the loop. The autoencoder is not a part of what is trained or saved."""

    def __init__(
        self,
        model: LatentFlowDiffusion,
        training: StageTraining,
        *,
        autoencoder: FlowAutoencoder,
        batches: ClipBatches,
        validation: SampleValidation | None,
        output: Path,
        provenance: Mapping[str, object],
    ) -> None:
        self.model, self.averaged, self.autoencoder = model, model, autoencoder
        self.batches, self.validation = batches, validation
        self.output, self.provenance = output, provenance
        figures = SAMPLE_FIGURES if validation else ()
        goals = SAMPLE_GOALS if validation else {}
        self.plan = _plan("diffusion", training, parts=DIFFUSION_PARTS, figures=figures, goals=goals, stream=1)
        self.updates = [_update(DiffusionLoss(model, autoencoder), training, model, DIFFUSION_PARTS)]

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable = map) -> list[VideoBatch]:
        """See `training.task.Task.draw`."""
        return [self.batches.draw(part.generators, map_samples) for part in parts]

    def validate(self, step: int) -> Findings | None:
        """See `training.task.Task.validate`."""
        if self.validation is None:
            return None
        figures, picture = self.validation(self.model, self.autoencoder)
        return _findings("diffusion", step, figures, picture, self.output)

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        """See `training.task.Task.save`."""
        training = {**self.plan.identity, "step": step, **self.provenance, **more}
        save_diffusion(folder, self.model, training, autoencoder=self.autoencoder)


def _plan(
    stage: str,
    training: StageTraining,
    *,
    parts: tuple[str, ...],
    figures: tuple[str, ...],
    goals: Mapping[str, Goal],
    stream: int,
) -> Plan:
    return Plan(
        name=stage,
        title=f"LFDM's {stage}",
        steps=training.steps,
        batch_size=training.batch_size,
        columns=(*parts, "learning_rate", "gradient_norm", *STEP_TIMES, *figures),
        plotted=parts,
        identity={"stage": f"lfdm_{stage}"},
        goals=goals,
        stream=stream,
        dropout_stream=stream + 2,
        ema_decay=training.ema_decay,
        gradient_clip=training.gradient_clip,
    )


def _update(loss: nn.Module, training: StageTraining, model: nn.Module, parts: tuple[str, ...]) -> Update:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=training.learning_rate, betas=training.betas)
    return Update(loss=loss, parts=parts, optimizer=optimizer, learning_rate=partial(learning_rate_at, training))


def learning_rate_at(training: StageTraining, step: int) -> float:
    """The learning rate of a step: a tenth of what it was from each milestone on."""
    return training.learning_rate * 0.1 ** sum(step >= milestone for milestone in training.milestones)


def _findings(stage: str, step: int, figures: dict[str, float], picture, output: Path) -> Findings:
    folder = output / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"step_{step:06d}.png", picture)
    text = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    return Findings(figures=figures, text=f"{stage} step {step}: {text}", picture=picture)
