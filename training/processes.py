"""The processes of a training run: one, or those that ``accelerate launch`` or ``torchrun`` started on any machines.

One process needs nothing but torch. Several divide each step's batch among them, average their gradients
(data parallelism, through accelerate), and only the main one writes files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import torch
from torch import nn

WAITING_TIME = timedelta(hours=6)  # for which the others wait while the main process samples, calibrates or encodes


class Processes:
    """What one process knows of the others.

    Args:
        device: the one asked for; with several processes on CUDA, each takes one of the machine's GPUs.
    """

    def __init__(self, device: torch.device) -> None:
        self._accelerator: Any = _join(device) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
        self.count = 1 if self._accelerator is None else self._accelerator.num_processes
        self.index = 0 if self._accelerator is None else self._accelerator.process_index
        self.device = device if self._accelerator is None else self._accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.index == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module to call in training: its backward pass averages gradients over the processes."""
        return module if self._accelerator is None else self._accelerator.prepare_model(module)

    def unwrap(self) -> None:
        """Forget the modules that were wrapped."""
        if self._accelerator is not None:
            self._accelerator.free_memory()

    def gathering(self, module: nn.Module, last: bool) -> AbstractContextManager:
        """Around the passes for one part of a batch; gradients are averaged after the last one alone."""
        if self._accelerator is None or last:
            return contextlib.nullcontext()
        return self._accelerator.no_sync(module)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value, added up over the processes."""
        if self._accelerator is None:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        return self._accelerator.reduce(total, "sum").tolist()

    def collect(self, texts: Sequence[str]) -> list[str]:
        """The texts of all processes."""
        if self._accelerator is None:
            return list(texts)
        from accelerate.utils import gather_object

        return gather_object(list(texts))

    def copy_from_main(self, module: nn.Module) -> None:
        """Give each process the main one's parameters and buffers."""
        if self._accelerator is None:
            return
        from accelerate.utils import broadcast

        with torch.no_grad():
            for tensor in module.state_dict().values():
                tensor.copy_(broadcast(tensor.contiguous()))

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Part from the others."""
        if self._accelerator is not None:
            self._accelerator.end_training()


def _join(device: torch.device):
    """The `accelerate.Accelerator` of this process; bfloat16 is ours, the same with and without it."""
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs
    except ImportError:
        raise ValueError("training in several processes needs accelerate: pip install accelerate") from None
    # Buffers don't change in training, and no forward pass should wait for them.
    handlers = [InitProcessGroupKwargs(timeout=WAITING_TIME), DistributedDataParallelKwargs(broadcast_buffers=False)]
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=handlers)
    known = (DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
    if accelerator.distributed_type not in known:
        raise ValueError(
            f"accelerate is set up for {accelerator.distributed_type.value}, but here each process holds the whole "
            "model; choose multi-GPU in accelerate config, without DeepSpeed, FSDP or a TPU"
        )
    return accelerator
