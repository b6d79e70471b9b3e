"""What is measured of each stage on held-out clips while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from baselines.cinn.data.clips import ClipBatch
from baselines.cinn.data.codes import encode
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.networks.flow import negative_log_likelihood
from common.images import to_8_bits, to_uint8
from data.media.pictures import contact_sheet
from evaluation.metrics.distances import frechet_distance
from evaluation.networks.feature_networks import FeatureNetwork, load_feature_network
from evaluation.networks.weights import MissingWeightsError
from training.task import Findings

VIDEO_METRICS = {"fvd": "i3d", "dtfvd": "dti3d_16"}  # what can choose the best autoencoder -> its network
SHOWN_FRAMES = 6


class Validation:
    """Held-out clips, in batches of ``batch_size`` on a device.

    Args:
        metric: of :data:`VIDEO_METRICS`, or None.
        weights: folder with the metrics' weights, searched before the cache.
    """

    def __init__(
        self,
        clips: Sequence[ClipBatch],
        *,
        batch_size: int,
        device: torch.device,
        metric: str | None,
        weights: Path | None,
    ) -> None:
        groups = [clips[first : first + batch_size] for first in range(0, len(clips), batch_size)]
        self.batches = [ClipBatch.joined(group) for group in groups]
        self.device, self.metric = device, metric
        self.network: FeatureNetwork | None = None
        if metric is not None:
            try:
                self.network = load_feature_network(VIDEO_METRICS[metric], weights, device)
            except MissingWeightsError as error:
                raise ValueError(f"--keep-best {metric}: {error}") from None

    def reconstruction(self, model: StochasticImageToVideo) -> Findings:
        """How far reconstructions and the repeated photo are from the clips: PSNR, L1, and a distance of videos."""
        sums, count = torch.zeros(4, dtype=torch.float64), 0
        sheets: list[np.ndarray] = []
        features: dict[str, list[Tensor]] = {"real": [], "made": []}
        for batch in (batch.to(self.device) for batch in self.batches):
            made, still = model.reconstruct(batch.frames), batch.photo[:, None]
            for n, video in enumerate((made, still.expand_as(batch.clip))):
                sums[n] += float(psnr(video, batch.clip).sum())
                sums[2 + n] += float((video - batch.clip).abs().mean((1, 2, 3, 4)).sum())
            count += len(batch.ids)
            sheets += [sheet(torch.stack([batch.clip[0], made[0]]))] if len(sheets) < 4 else []
            if self.network is not None:
                features["real"].append(self.network(to_8_bits(batch.clip)))
                features["made"].append(self.network(to_8_bits(made)))
        names = ("psnr", "psnr_repeat", "l1_validation", "l1_repeat")
        figures = dict(zip(names, (sums / count).tolist(), strict=True))
        if self.metric is not None:
            real, generated = (torch.cat(features[name]) for name in ("real", "made"))
            figures[self.metric] = frechet_distance(real, generated)
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        return Findings(figures=figures, text=f"{count} validation clips: {text}", picture=np.concatenate(sheets))

    @torch.no_grad()
    def photos(self, model: StochasticImageToVideo, decoder: torch.nn.Module) -> Findings:
        """L1 of photos from their embeddings, and of the mean photo, which an embedding has to beat."""
        photos = torch.cat([batch.photo for batch in self.batches]).to(self.device)
        made = torch.cat([decoder(model.condition(photo[None])) for photo in photos])
        mean = photos.mean(0, keepdim=True)
        found = (made - photos).abs().mean(), (mean - photos).abs().mean()
        figures = {"l1_validation": float(found[0]), "l1_mean_photo": float(found[1])}
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        picture = sheet(torch.stack([photos[:SHOWN_FRAMES], made[:SHOWN_FRAMES]]))
        return Findings(figures=figures, text=f"{len(photos)} validation photos: {text}", picture=picture)

    @torch.no_grad()
    def likelihood(self, model: StochasticImageToVideo, *, seed: int) -> Findings:
        """Negative log-likelihood of held-out codes, and how the statistics of sampled codes compare with theirs."""
        generator = torch.Generator().manual_seed(seed)
        losses, codes, sampled = [], [], []
        videos: list[Tensor] = []
        for batch in (batch.to(self.device) for batch in self.batches):
            seen = encode(model, batch)
            noise = torch.randn(2, *seen.mean.shape, generator=generator).to(seen.mean)
            codes.append(seen.code(noise[0]))
            losses.append(negative_log_likelihood(*model.flow(codes[-1], seen.about)))
            sampled.append(model.flow.inverse(noise[1], seen.about))
            if len(videos) < 3:
                videos += [batch.clip[0], model.decoder(batch.photo[:1], sampled[-1][:1])[0]]
        real, made = torch.cat(codes), torch.cat(sampled)
        figures = {
            "nll_validation": float(torch.cat(losses).mean()),
            "code_spread": float(real.std(0).mean()),
            "sample_spread": float(made.std(0).mean()),
            "mean_distance": float((real.mean(0) - made.mean(0)).abs().mean()),
        }
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        return Findings(
            figures=figures, text=f"{len(real)} validation codes: {text}", picture=sheet(torch.stack(videos))
        )


def psnr(video: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of videos in [-1, 1], by the error of all frames: ``[B]``."""
    error = (video - target).square().mean((1, 2, 3, 4)).clamp_min(1e-10)
    return 10 * torch.log10(4 / error)


def sheet(videos: Tensor, columns: int = SHOWN_FRAMES) -> np.ndarray:
    """A contact sheet of videos ``[N, T, 3, H, W]``, a row each, of frames spread over their time: uint8 RGB."""
    columns = min(columns, videos.shape[1])
    places = torch.linspace(0, videos.shape[1] - 1, columns).round().long()
    frames = [frame for video in videos for frame in to_uint8(video[places.to(video.device)])]
    return contact_sheet(frames, columns, gap=0)
