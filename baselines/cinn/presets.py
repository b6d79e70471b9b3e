"""The published configurations, a small one and a tiny one. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from baselines.cinn.config import (
    Augmentation,
    ConditionConfig,
    DiscriminatorConfig,
    FlowConfig,
    LossConfig,
    ModelConfig,
    Preset,
    StageConfig,
    TrainingConfig,
    VideoConfig,
)

_VAE = StageConfig(epochs=55, batch_size=10, weight_decay=1e-5, decay=0.98)
_CONDITION = StageConfig(epochs=60, batch_size=30, betas=(0.9, 0.999))
_FLOW = StageConfig(
    epochs=31, batch_size=50, learning_rate=1e-5, betas=(0.9, 0.99), amsgrad=True, decay=0.5, decay_epochs=7
)
_PUBLISHED_D = DiscriminatorConfig(spectral="first_blocks")


def _published(
    *,
    video: VideoConfig,
    embedding: int,
    norm: Literal["instance", "batch"],
    losses: tuple[float, float, float],  # perceptual, reconstruction, divergence
    epochs: tuple[int, int],  # of the video autoencoder and the conditioning encoder
    batch_size: int,
    decay_epochs: int,  # of the flow's learning rate
    augmentation: tuple[Augmentation, Augmentation, Augmentation],  # by stage
    condition_divergence: float = 1e-5,
) -> Preset:
    perceptual, reconstruction, divergence = losses
    space = (1, 1, 2, 2) if video.size == (64, 64) else (1, 2, 2, 2)
    vae, condition, flow = augmentation
    return Preset(
        model=ModelConfig(
            video=video,
            condition=ConditionConfig(size=embedding, norm=norm),
            flow=FlowConfig(condition=embedding),
        ),
        discriminators=replace(_PUBLISHED_D, temporal_space=space),
        training=TrainingConfig(
            vae=replace(_VAE, epochs=epochs[0], batch_size=batch_size, augmentation=vae),
            condition=replace(_CONDITION, epochs=epochs[1], augmentation=condition),
            flow=replace(_FLOW, decay_epochs=decay_epochs, augmentation=flow),
            losses=LossConfig(
                perceptual=perceptual, reconstruction=reconstruction, divergence=divergence, penalty_of="batch_mean"
            ),
            condition_divergence=condition_divergence,
        ),
    )


_VIDEO_128 = VideoConfig(
    size=(128, 128),
    encoder_channels=(64, 64, 128, 256, 512),
    encoder_space=(2, 2, 2, 2),
    width=32,
    decoder_space=(2, 2, 2, 2, 2),
)
_BAIR, _IPER = Augmentation(color=0.1), Augmentation(color=0.2)
_SKY = Augmentation(margin=16, color=0.3, hue=0.15)
_TEXTURE = Augmentation(margin=16, color=0.3, hue=0.15)


def _texture(*, epochs: int, norm: Literal["instance", "batch"] = "instance") -> Preset:
    return _published(
        video=_VIDEO_128,
        embedding=128,
        norm=norm,
        losses=(30, 10, 1e-6),
        epochs=(60, epochs),
        batch_size=7,
        decay_epochs=6,
        augmentation=(_TEXTURE, _TEXTURE, _TEXTURE),
    )


_SMALL_STAGE = StageConfig(
    epochs=80,
    batch_size=4,
    learning_rate=1e-3,
    betas=(0.9, 0.99),
    decay=0.3,
    decay_epochs=60,
    steps_per_epoch=50,
    augmentation=Augmentation(margin=8),
)
_TINY_STAGE = StageConfig(epochs=2, batch_size=2, learning_rate=1e-3, betas=(0.9, 0.99), steps_per_epoch=2)
PRESETS = {
    "bair": _published(
        video=VideoConfig(),
        embedding=64,
        norm="instance",
        losses=(30, 10, 1e-5),
        epochs=(55, 60),
        batch_size=10,
        decay_epochs=7,
        augmentation=(_BAIR, _BAIR, _BAIR),
    ),
    "iper": _published(
        video=VideoConfig(),
        embedding=128,
        norm="instance",
        losses=(40, 10, 1e-4),
        epochs=(100, 140),
        batch_size=10,
        decay_epochs=7,
        augmentation=(_IPER, _IPER, _IPER),
    ),
    "landscape": _published(
        video=replace(_VIDEO_128, encoder_channels=(64, 128, 128, 256, 512)),
        embedding=128,
        norm="batch",
        losses=(30, 20, 1e-6),
        epochs=(100, 200),
        batch_size=7,
        decay_epochs=6,
        augmentation=(_SKY, replace(_SKY, hue=0.1), replace(_SKY, color=0.0, hue=0.0)),
        condition_divergence=1e-4,
    ),
    "fire": _texture(epochs=120),
    "clouds": _texture(epochs=200),
    "waterfall": _texture(epochs=100, norm="batch"),
    "vegetation": _texture(epochs=60),
    # For a few videos and a processor: no discriminators, no perceptual loss.
    "small": Preset(
        model=ModelConfig(
            video=VideoConfig(
                size=(64, 32),
                code=32,
                encoder_channels=(16, 16, 32, 64, 96),
                width=8,
                decoder_space=(2, 2, 2, 1, 2),  # full size in the last block alone, since the photo is there already
                start="photo",
                encoder_sees="flow",
            ),
            condition=ConditionConfig(size=32, layers=(1, 1, 1, 1), width=16, decoder_width=16),
            flow=FlowConfig(code=32, condition=32, blocks=8, hidden=128),
        ),
        discriminators=DiscriminatorConfig(temporal_channels=(16, 16, 32, 64, 96), spatial_width=16),
        training=TrainingConfig(
            vae=replace(_SMALL_STAGE, learning_rate=3e-3, ema_decay=0.99, gradient_clip=10.0),
            condition=replace(_SMALL_STAGE, epochs=10, batch_size=8),
            flow=replace(_SMALL_STAGE, epochs=40, batch_size=16),
            losses=LossConfig(perceptual=0.0, reconstruction=100.0, error="squared", divergence=1e-5),
            adversarial_from=80,
            kept_codes=2048,
        ),
    ),
    # Runs through everything in seconds.
    "tiny": Preset(
        model=ModelConfig(
            video=VideoConfig(size=(48, 32), code=8, encoder_channels=(4, 4, 8, 8, 8), width=2),
            condition=ConditionConfig(size=8, layers=(1, 1, 1, 1), width=2, decoder_width=2),
            flow=FlowConfig(code=8, condition=8, blocks=4, hidden=16, depth=1),
        ),
        discriminators=DiscriminatorConfig(temporal_channels=(4, 4, 4, 8, 8), spatial_width=4, spatial_frames=4),
        training=TrainingConfig(
            vae=_TINY_STAGE, condition=_TINY_STAGE, flow=_TINY_STAGE, losses=LossConfig(perceptual=0.0)
        ),
    ),
}
