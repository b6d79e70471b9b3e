"""What the studio's page is told by this server: that Python computes, and where its controls begin."""

from __future__ import annotations

from app.options import DEFAULT_LONG_SIDE, LoopOptions
from app.server.animate import MOST_PIXELS, SIDES, SUFFIXES, natural_speed
from app.studio.source import FORMAT, FORMAT_VERSION, physics_values
from common.image_files import FORMATS, IMAGE_SUFFIXES
from models.choices import WINDS
from models.motion.config import MotionConfig


def page_manifest(token: str, defaults: LoopOptions, config: MotionConfig, *, most_bytes: int) -> dict:
    """The page's manifest; a built studio's is `app.studio.folder.build_folder`'s.

    Args:
        token: what the page has to show with each photo.
        defaults: those of the command line.
        config: of the motion model.
        most_bytes: of a photo that can be sent.
    """
    usual = defaults.sampling.wind or "breeze"
    sizes = [] if defaults.rendering.size is None else [["", f"{defaults.rendering.size}, as started"]]
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "engine": "python",
        "token": token,
        "model": {
            "num_frequencies": config.num_frequencies,
            "num_frames": config.num_frames,
            "fps": config.fps,
            "wind": 1.0 if config.wind else None,
        },
        "physics": physics_values(),
        "start": {
            "seed": defaults.sampling.seed,
            "amplitude": defaults.playing.magnify,
            "speed": natural_speed(defaults, config),
            "wind": WINDS[usual] if isinstance(usual, str) else usual,
            "size": str(DEFAULT_LONG_SIDE) if defaults.rendering.size is None else "",
        },
        "sizes": sizes + [[str(side), f"{side} pixels"] for side in SIDES],
        "formats": list(SUFFIXES),
        "photos": {
            "most_bytes": most_bytes,
            "most_pixels": MOST_PIXELS,
            "accept": ",".join([form.media_type for form in FORMATS] + list(IMAGE_SUFFIXES)),
            "words": ", ".join(form.name for form in FORMATS[:6]) + " and more",
        },
    }
