"""A page on which a photo can be poked: one HTML file with the photo, its modes and the code that moves them.

The page opens from the file system and loads nothing; its content security policy forbids it. Its sources are the
files in ``app/viewer``, put into the page as they are. They repeat :mod:`models.dynamics.oscillators`,
:mod:`models.dynamics.basis` and :class:`models.dynamics.rig.ModalRig` in JavaScript; tests compare the two in a
browser. ``docs/viewer.md`` describes the format.
"""

from __future__ import annotations

import base64
import io
import math
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.images import tensor_to_image
from common.page import data_url, inline_policy, page_style, script_json
from models.dynamics.basis import LARGEST_DISPLACEMENT, SOFTNESS, ModalBasis
from models.dynamics.motion_file import MotionFile
from models.dynamics.oscillators import Damping
from models.spectral_volume import resize_motion

FORMAT, FORMAT_VERSION = "modal-motion", 1
FOLDER = Path(__file__).parent
SCRIPTS = (
    "oscillators.js",
    "basis.js",
    "rig.js",
    "warp.js",
    "decode.js",
    "pointers.js",
    "controls.js",
    "embed.js",
    "viewer.js",
    "start.js",
)
DEFAULT_TITLE = "A photo to poke"
POLICY = "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
PAGE_LIMIT = 4_000_000  # bytes
PHOTO_SIDE = 1024  # pixels of the photo's longer side in the page, at most
PHOTO_LIMIT = 700_000  # bytes of its JPEG
MOTION_LIMIT = 1_900_000  # bytes of the modes, packed
LEVELS = 127  # a coefficient is -LEVELS to LEVELS
LOOP_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/mp4",  # the same streams in nearly the same container
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
    ".apng": "image/apng",
}


def viewer_page(
    photo: Tensor,
    motion: MotionFile,
    *,
    loop: Path | None = None,
    title: str = "",
    limit: int = PAGE_LIMIT,
    warn: Callable[[str], None] = lambda _: None,
) -> str:
    """The page as HTML.

    The photo is encoded anew, so nothing else that its file held gets into the page.

    Args:
        photo: ``[1, 3, H, W]`` in [-1, 1], any size.
        motion: the motion of this photo.
        loop: the rendered loop, in a format of :data:`LOOP_TYPES`; left out where it would not fit.
        title: any text.
        limit: bytes of the page in UTF-8.
        warn: is told where the loop is left out.

    Raises:
        ValueError: a motion that stands still, or one of another aspect ratio than the photo.
    """
    height, width = photo.shape[-2:]
    motion.check_shape((width, height))
    ModalBasis.of_motion(motion)  # says what is wrong with modes that can't be pulled
    jpeg, photo_size = encode_photo(photo)
    packed, scales, (rows, columns) = encode_within(motion.spectral_volume[1:], MOTION_LIMIT)
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "title": title or DEFAULT_TITLE,
        "photo": {"width": photo_size[0], "height": photo_size[1]},
        "modes": {
            "width": columns,
            "height": rows,
            "period": motion.period,
            "scales": [float(f"{scale:.9g}") for scale in scales.tolist()],
        },
        "damping": {"alpha": Damping().alpha, "beta": Damping().beta},
        "softness": SOFTNESS,
        "largest_displacement": LARGEST_DISPLACEMENT,
        "loop": {"included": False, "note": "The rendered loop is not in this page."},
    }
    page = _fill(header, jpeg, packed, "")
    if loop is None:
        return page
    room = limit - len(page.encode())
    element, shown = loop_element(loop, room - 1000)
    if not shown["included"]:
        warn(shown["note"])
    header["loop"] = shown
    return _fill(header, jpeg, packed, element)


def _fill(header: dict, jpeg: bytes, packed: bytes, loop: str) -> str:
    style = page_style(FOLDER / "page.css")
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return Template((FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(header["title"]),
        policy=f"{POLICY}; {inline_policy(style, script)}",
        style=style,
        script=script,
        width=header["photo"]["width"],
        height=header["photo"]["height"],
        photo=data_url("image/jpeg", jpeg),
        loop=loop,
        header=script_json(header),
        modes=base64.b64encode(packed).decode(),
    )


def loop_element(path: Path, room: int) -> tuple[str, dict]:
    """HTML element that shows a rendered loop if it has room in so many bytes, and what the header says of it."""
    path = Path(path)
    kind = LOOP_TYPES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: a page can't show this; give a loop that ends in {' '.join(LOOP_TYPES)}")
    size = path.stat().st_size
    if 4 * math.ceil(size / 3) > room:
        note = f"The rendered loop, {size / 1e6:.1f} MB, had no room in this page."
        return "", {"included": False, "note": note}
    source = data_url(kind, path.read_bytes())
    if kind.startswith("video"):
        element = f'<video id="loop" hidden muted loop playsinline preload="auto" src="{source}"></video>'
    else:
        element = f'<img id="loop" hidden alt="The rendered loop" src="{source}">'
    return element, {"included": True, "note": "This is the rendered loop as generate.py wrote it."}


# Photo ----------------------------------------------------------------------------------------------------------------


def encode_photo(photo: Tensor) -> tuple[bytes, tuple[int, int]]:
    """JPEG of a photo ``[1, 3, H, W]`` in [-1, 1] within :data:`PHOTO_SIDE` and :data:`PHOTO_LIMIT`, and its (W, H)."""
    from PIL import Image

    image = Image.fromarray(tensor_to_image(photo.cpu()))
    scale = min(1.0, PHOTO_SIDE / max(image.size))
    if scale < 1:
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    for quality in (90, 80, 65, 45, 25):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= PHOTO_LIMIT:
            break
    return file.getvalue(), image.size


# Modes ----------------------------------------------------------------------------------------------------------------


def encode_modes(modes: Tensor) -> tuple[bytes, NDArray[np.float64]]:
    """Pack modes ``[M, 4, H, W]`` into bytes; returns them and a scale in pixels a mode.

    A coefficient S of a mode of scale s becomes ``n = round(127 sign(S) sqrt(|S| / s))``, s being the mode's largest
    ``|S|``: the square root of paper Eq. 4, since small values are many. The error is at most
    ``(|n| + 1/4) s / 127^2``. Each row is then replaced by the differences of neighbours and each column likewise,
    modulo 256, and all is deflated.
    """
    values = modes.double().cpu().numpy()
    scales = np.abs(values).max(axis=(1, 2, 3))
    shares = values / np.where(scales > 0, scales, 1)[:, None, None, None]
    levels = np.rint(LEVELS * np.sign(shares) * np.sqrt(np.abs(shares))).astype(np.int8)
    for axis in (3, 2):
        levels = np.diff(levels, axis=axis, prepend=np.int8(0))
    return zlib.compress(levels.tobytes(), 9), scales


def decode_modes(packed: bytes, scales: NDArray[np.float64], height: int, width: int) -> Tensor:
    """Inverse of :func:`encode_modes` up to rounding: float32 ``[M, 4, H, W]`` in pixels."""
    levels: np.ndarray = np.frombuffer(zlib.decompress(packed), np.int8).reshape(len(scales), 4, height, width)
    for axis in (2, 3):
        levels = np.cumsum(levels, axis=axis, dtype=np.int8)
    shares = levels / LEVELS
    return torch.from_numpy(shares * np.abs(shares) * np.asarray(scales)[:, None, None, None]).float()


def encode_within(modes: Tensor, limit: int) -> tuple[bytes, NDArray[np.float64], tuple[int, int]]:
    """:func:`encode_modes` at the largest resolution that fits in so many bytes, and that resolution as (H, W)."""
    height, width = modes.shape[-2:]
    factor = 1.0
    while True:
        size = max(2, round(height * factor)), max(2, round(width * factor))
        packed, scales = encode_modes(resize_motion(modes.float(), size, "area" if factor < 1 else "bilinear"))
        if len(packed) <= limit or max(size) == 2:
            return packed, scales, size
        factor *= 0.8
