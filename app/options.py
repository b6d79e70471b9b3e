"""What generate.py's options may be, alone and together."""

from __future__ import annotations

import argparse


def check_options(arguments: argparse.Namespace) -> None:
    """Numbers out of range and options that don't go together, before anything is imported or read."""
    limits: dict[str, tuple[float, float]]
    limits = {"steps": (1, 1000), "num_frames": (2, 100_000), "seed": (0, 2**63 - 1), "fps": (0.1, 1000)}
    limits |= {"slow": (0.05, 100), "magnify": (-100, 100), "guidance": (-1, 100), "loop_guidance": (0, 1e6)}
    limits |= {"recurrence": (0, 100), "port": (0, 65535)}
    for name, (low, high) in limits.items():
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"--{name.replace('_', '-')} {value}: expected {low} to {high}")
    if not (arguments.photos or arguments.serve):
        raise ValueError("no photo is given; name one, or use --serve for a page to drop photos on")
    if len(arguments.photos) > 1 and (arguments.motion or arguments.save_motion or arguments.poke or arguments.viewer):
        raise ValueError("--motion, --save-motion, --poke and --viewer belong to one photo; give one photo at a time")
    if arguments.motion and arguments.save_motion:
        raise ValueError("--save-motion: nothing is sampled with --motion, so there is no motion to save")
    if arguments.save_motion and arguments.save_motion.suffix != ".safetensors":
        raise ValueError(f"--save-motion {arguments.save_motion}: its name must end in .safetensors")
    if arguments.viewer and arguments.viewer.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--viewer {arguments.viewer}: its name must end in .html")
