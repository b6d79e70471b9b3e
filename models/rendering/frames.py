"""Frames of a moving photo at any size, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.images import to_uint8
from models.photos import covering_size, resize_photo
from models.rendering.dispatch import frame_renderer
from models.rendering.large import DEFAULT_SIZES, RenderSizes
from models.rendering.workers import in_order
from models.spectral_volume import resize_motion

if TYPE_CHECKING:
    from models.dynamics.photo import Displacement
    from models.rendering.model import FrameSynthesisModel

TILE_MARGIN = 8  # pixels around a tile beyond the motion's reach, for what interpolation looks at
Timer = Callable[[str], AbstractContextManager]  # times the step of a name, as common.stopwatch.Stopwatch does


@torch.no_grad()
def render_frames(
    image: Tensor,
    motion: Displacement,
    *,
    size: tuple[int, int],
    renderer: str,
    model: FrameSynthesisModel | None,
    device: torch.device,
    timer: Timer = nullcontext,
    sizes: RenderSizes = DEFAULT_SIZES,
) -> Iterator[np.ndarray]:
    """Frames at the motion's times, uint8 ``[H, W, 3]``.

    Args:
        image: the photo, ``[1, 3, H, W]`` in [-1, 1].
        motion: of the whole photo, at any resolution.
        size: (W, H) of the frames; of another aspect ratio, it shows the photo's centre.
        renderer: one of :data:`models.choices.RENDERERS`.
        model: the network, for its own renderer only.
        device: where to render.
        timer: times the steps ``upsample`` and ``render``. Frames are rendered while those before them are used; what
            counts is how long they were waited for.
        sizes: from which sizes on frames are rendered in parts, and how many at once.
    """
    covering = covering_size((image.shape[3], image.shape[2]), size)
    left, top = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    with timer("upsample"):
        motion = motion.to(device)
        shape = (covering[1], covering[0])
        photo = resize_photo(image, shape).to(device)
        # Not rescaled as vectors are: the renderer knows importance in pixels of about the training size.
        importance = F.interpolate(motion.importance(), shape, mode="bicubic", antialias=True).clamp_min(0)
    with timer("render"):
        # A quarter more than the motion itself: enlarging overshoots.
        reach = 1.25 * motion.largest_displacement() * max(np.divide(covering, motion.size))
        margin = TILE_MARGIN + int(reach)
        render = frame_renderer(renderer, photo, importance, model=model, margin=margin, sizes=sizes)
    batch = sizes.frames_a_batch(shape[0], shape[1], device)

    @torch.no_grad()
    def frames_from(start: int) -> np.ndarray:
        flow = resize_motion(motion.at(motion.times[start : start + batch])[0], shape, "bicubic")
        rendered = render(flow)[:, :, top : top + size[1], left : left + size[0]]
        if not rendered.isfinite().all():
            raise FloatingPointError(f"the renderer {renderer!r} produced frames that are not finite")
        return to_uint8(rendered)

    workers = sizes.workers(shape[0], shape[1], device)
    batches = in_order(frames_from, range(0, len(motion.times), batch), workers=workers)
    with closing(batches):
        while True:
            with timer("render"):
                frames = next(batches, None)
            if frames is None:
                return
            yield from frames
