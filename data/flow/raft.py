"""RAFT (Teed and Deng 2020) of torchvision as an estimator: `raft_large` with the weights C_T_SKHT_V2.

The weights are a file that torchvision downloads once to where it keeps its own, or the one that the environment
variable ``RAFT_WEIGHTS`` names: torchvision's ``.pth``, or ``.safetensors`` with the same tensor names.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from data.flow.interface import Flow, Images, Progress, pairs_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

WEIGHTS_VARIABLE = "RAFT_WEIGHTS"
UPDATES = 12  # of the flow, torchvision's default
MIN_SIDE = 128  # pixels: the correlation pyramid has four levels of an eighth of the picture
CUDA_BATCH = 32  # pairs
CUDA_CORRELATIONS = 2**28  # float32 values, 1 GiB, of the correlation volumes of a batch


def solve_raft(
    sources: Images,
    targets: Images,
    *,
    num_threads: int,
    progress: Progress,
    device: torch.device | None = None,
    updates: int = UPDATES,
    most_pairs: int | None = None,
    network: Callable[[dict[str, Tensor]], Callable[..., list[Tensor]]] | None = None,
) -> Flow:
    """Flow by RAFT, on the GPU if there is one: form and meaning as `data.flow.interface.Solve`.

    Pictures are padded by their edges to sides that are multiples of 8 and at least 128. On a CPU, ``num_threads``
    pairs are solved at once, each alone and with one thread, so that the result does not depend on it. On a GPU a batch
    holds at most `CUDA_BATCH` pairs, fewer where their correlation volumes, ``(H W / 64)^2`` values each, are large.

    Args:
        device: where to compute; by default the GPU, or the CPU where there is none.
        updates: of the flow.
        most_pairs: pairs that the network gets at once, in place of :func:`batch_size`.
        network: makes the network of tensors by torchvision's names; torchvision's by default.

    Raises:
        ValueError: no weights, unusable ones, or too little memory on the GPU.
    """
    import torch

    device, network = device or best_device(), network or raft_network
    weights = {name: tensor.to(device) for name, tensor in _weights(download=True).items()}
    height, width = targets.shape[1:3]
    size = most_pairs or batch_size(height, width, device.type)
    pairs = list(pairs_of(sources, targets))
    flows = np.empty((*targets.shape[:3], 2), np.float32)
    thread = local()  # a module keeps the correlations of the call it is in, so each thread has its own

    def solve(begin: int) -> int:
        if not hasattr(thread, "model"):
            thread.model = network(weights)
        batch = pairs[begin : begin + size]
        first, second = (_network_input(images, device) for images in zip(*batch, strict=True))
        try:
            with torch.inference_mode():
                flow = thread.model(first, second, num_flow_updates=updates)[-1]
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"raft: the GPU's memory does not hold {len(batch)} pair(s) of {width} x {height}; choose a smaller "
                "size, fewer processes, or another estimator"
            ) from error
        flows[begin : begin + size] = flow[..., :height, :width].permute(0, 2, 3, 1).cpu().numpy()
        return len(batch)

    with _one_torch_thread(), ThreadPoolExecutor(1 if device.type == "cuda" else num_threads) as pool:
        for count in pool.map(solve, range(0, len(targets), size)):
            if progress is not None:
                progress(count)
    return flows


def raft_parameters(
    download: bool = True, *, device: torch.device | None = None, updates: int = UPDATES
) -> dict[str, Any]:
    """Versions, the hash of the weights' tensors and the kind of device: what the result depends on.

    Args:
        download: whether to let torchvision fetch missing weights.
        device, updates: as of :func:`solve_raft`.

    Raises:
        ValueError: no weights, or unusable ones.
    """
    import torch

    weights = _weights(download)
    import torchvision

    from common.hashing import content_hash

    return {
        "weights_sha256": content_hash(weights),
        "updates": updates,
        "torchvision": torchvision.__version__,
        "torch": torch.__version__,
        "device": (device or best_device()).type,
    }


def batch_size(height: int, width: int, device: str) -> int:
    """Pairs of this size that the network gets at once; a CPU gains nothing from more than one."""
    if device == "cpu":
        return 1
    padded_height, padded_width = _padded(height), _padded(width)
    correlations = (padded_height * padded_width // 64) ** 2
    return max(1, min(CUDA_BATCH, CUDA_CORRELATIONS // correlations))


def weights_path() -> Path:
    """Where the weights have to lie: the file that `WEIGHTS_VARIABLE` names, or else torchvision's own."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        return Path(named)
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_torchvision_weights().url).name


def _torchvision_weights():  # -> torchvision.models.optical_flow.Raft_Large_Weights
    try:
        from torchvision.models.optical_flow import Raft_Large_Weights
    except ImportError as error:
        raise ValueError("raft needs torchvision, in the version that fits torch: pip install torchvision") from error
    return Raft_Large_Weights.C_T_SKHT_V2


def _weights(download: bool) -> dict[str, Tensor]:
    path = weights_path()
    if not path.is_file():
        if os.environ.get(WEIGHTS_VARIABLE):
            raise ValueError(f"{path}: no such file of RAFT weights; correct the variable {WEIGHTS_VARIABLE}")
        if not download:
            _missing(path, "they have not been downloaded yet")
        _download(path)
    state = path.stat()
    return _load_weights(path, state.st_size, state.st_mtime_ns)


def _download(path: Path) -> None:
    try:
        _torchvision_weights().get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:
        _missing(path, f"the download failed: {error}", error)


def _missing(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    url = _torchvision_weights().url
    raise ValueError(
        f"raft has no weights, {reason}; get {url} (20 MB) on a machine with internet access and put it to {path}, or "
        f"anywhere else and say where by the environment variable {WEIGHTS_VARIABLE}"
    ) from cause


@functools.lru_cache(maxsize=1)
def _load_weights(path: Path, size: int, changed: int) -> dict[str, Tensor]:
    """The tensors of a file, fit for the network. Size and time of change are there to notice another file."""
    from common.tensor_files import read_published

    url = _torchvision_weights().url
    weights = read_published(path, advice=f"not weights of raft_large; get {url} anew")
    try:
        raft_network(weights)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path}: not weights of raft_large ({reason}); get {url} anew") from error
    return weights


def raft_network(weights: dict[str, Tensor]) -> nn.Module:
    """The network around these tensors, which are not copied."""
    import torch
    from torchvision.models.optical_flow import raft_large

    with torch.device("meta"):
        model = raft_large(weights=None, progress=False)
    model.load_state_dict(weights, assign=True)
    return model.eval()


def best_device() -> torch.device:
    """The GPU, or the CPU where there is none."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _network_input(images: tuple[Images, ...], device: torch.device) -> Tensor:
    """uint8 [H, W, 3] each, to float32 [N, 3, H', W'] in [-1, 1], padded."""
    import torch

    from common.images import from_8_bits

    pixels = from_8_bits(torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2))
    height, width = pixels.shape[2:]
    return torch.nn.functional.pad(pixels, (0, _padded(width) - width, 0, _padded(height) - height), mode="replicate")


def _padded(side: int) -> int:
    return max(MIN_SIDE, -(-side // 8) * 8)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Sums come in another order with another number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
