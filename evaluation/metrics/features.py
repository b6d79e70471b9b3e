"""Features of videos: windows of frames, each distinct one through the network once, those of real videos kept on disk.

The cache lies beside that of the metric weights (`FeatureCache.folder` names it) and takes at most 2 GB. To clear it,
delete the folder or call `FeatureCache().clear()`; nothing but time is lost.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from common.tensor_files import read_tensors, save_tensors
from evaluation.networks.feature_networks import FeatureNetwork
from evaluation.networks.weights import cache_folder

# Part of the key of stored features. To be raised whenever the networks make other features of the same bytes with the
# same weights: another resizing, another layer.
PREPROCESSING_VERSION = 1
CACHE_BYTES = 2 * 1024**3


def checked_frames(frames: Tensor, name: str) -> Tensor:
    """The frames, if they are uint8 ``[T, 3, H, W]``.

    Raises:
        ValueError: another type or shape, or values that are not finite; ``name`` says whose frames they are.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape:
        raise ValueError(f"{name}: frames must be [T, 3, H, W], got {list(frames.shape)}")
    if frames.is_floating_point() and not bool(frames.isfinite().all()):
        first = int((~frames.isfinite()).flatten(1).any(dim=1).nonzero()[0])
        raise ValueError(f"{name}: frame {first} has values that are not finite; look into what made the video")
    if frames.dtype != torch.uint8:
        raise ValueError(f"{name}: frames must be uint8, got {str(frames.dtype).removeprefix('torch.')}")
    return frames


def windows(frames: Tensor, length: int, stride: int | None = None) -> Tensor:
    """Windows of consecutive frames: ``[T, ...] -> [n, length, ...]``, a view.

    Window i starts at frame ``i * stride``; without a stride they follow one another without overlap, and frames that
    fill no window are left out: nine windows of 16 from 150 frames.

    Raises:
        ValueError: fewer than ``length`` frames.
    """
    if length < 1 or (stride is not None and stride < 1):
        raise ValueError(f"windows need a length and a stride of at least 1, got {length} and {stride}")
    if len(frames) < length:
        raise ValueError(f"{len(frames)}-frame videos have no {length}-frame window")
    return frames.unfold(0, length, stride or length).movedim(-1, 1)


class FeatureCache:
    """Features on disk, found again by the network, its weights and the exact pixels."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = CACHE_BYTES) -> None:
        """
        Args:
            folder: where to keep them; ``features`` beside the folder of metric weights by default.
            limit_bytes: the features that were not used for longest are removed beyond this.
        """
        if folder is None:
            folder = cache_folder().parent / "features"
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.problem: str | None = None  # why features could not be stored; evaluation goes on without

    def features(self, network: FeatureNetwork, pixels: Tensor) -> Tensor:
        """Features float32 ``[N, D]`` of images or clips ``[N, ...]``, computed unless they are here."""
        path = self.folder / f"{content_key(network, pixels)}.safetensors"
        stored = _read(path, (len(pixels), network.dimension))
        if stored is not None:
            return stored
        features = distinct_features(network, pixels)
        if bool(features.isfinite().all()):
            self._write(path, features)
        return features

    def clear(self) -> None:
        """Remove all stored features."""
        for path in self.folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)

    def _write(self, path: Path, features: Tensor) -> None:
        try:
            save_tensors(path, {"features": features})
            self._shrink()
        except OSError as error:  # a full disk or a folder of somebody else's must not cost the run
            self.problem = f"{self.folder}: features of the real videos could not be stored ({error})"

    def _shrink(self) -> None:
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.safetensors"))
        excess = sum(size for _, size, _ in files) - self.limit_bytes
        for _, size, path in files:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


def content_key(network: FeatureNetwork, pixels: Tensor) -> str:
    """sha256 of everything that features depend on: network, weights, preprocessing, the pixels and their shape."""
    header = f"{network.name} {network.sha256} {PREPROCESSING_VERSION} {list(pixels.shape)} {pixels.dtype}\n"
    digest = hashlib.sha256(header.encode())
    for item in pixels:  # one by one: windows are views, and copying all of them at once takes memory for nothing
        digest.update(item.contiguous().numpy())
    return digest.hexdigest()


def distinct_features(network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """Features float32 ``[N, D]`` of images or clips, identical ones computed once: a still video costs one frame."""
    place: dict[bytes, int] = {}  # content -> its row among the distinct ones
    first, row = [], []
    for index, item in enumerate(pixels):
        digest = hashlib.sha256(item.contiguous().numpy()).digest()
        if digest not in place:
            place[digest] = len(place)
            first.append(index)
        row.append(place[digest])
    features = network(pixels[first] if len(first) < len(pixels) else pixels.contiguous())
    return features.detach().float().cpu()[row]


def frame_features(network: FeatureNetwork, frames: Tensor, cache: FeatureCache | None = None) -> Tensor:
    """Features ``[T, D]`` of a video's frames, uint8 ``[T, 3, H, W]``."""
    return cache.features(network, frames) if cache else distinct_features(network, frames)


def clip_features(network: FeatureNetwork, clips: Tensor, cache: FeatureCache | None = None) -> Tensor:
    """Features ``[n, D]`` of a video's `windows`, uint8 ``[n, length, 3, H, W]``."""
    return cache.features(network, clips) if cache else distinct_features(network, clips)


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Stored features of that shape; None, and no such file, if there are none or the file is damaged."""
    if not path.is_file():
        return None
    try:
        features = read_tensors(path)[0]["features"]
        if features.shape != shape or features.dtype != torch.float32 or not bool(features.isfinite().all()):
            raise ValueError("not the features that were stored")
    except (OSError, KeyError, ValueError):
        with suppress(OSError):
            path.unlink()
        return None
    with suppress(OSError):  # where reading is all that is allowed
        os.utime(path)  # used now: see `_shrink`
    return features
