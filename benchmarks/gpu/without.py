"""Run a module as if some packages were not installed: what GPU machines lack can be tried where they are there.

Examples:
  python -m benchmarks.gpu.without cv2,numba pytest -q tests/test_softsplat_kernels.py
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

# What images for GPUs tend to lack, of what the requirements bring.
LACKING = ("diffusers", "cv2", "numba", "moviepy", "imageio_ffmpeg")


def hide(packages: Sequence[str]) -> None:
    """Make ``import`` fail for these packages, as if they were not installed; parts of them that are loaded stay."""
    for name in packages:
        if name in sys.modules and sys.modules[name] is not None:
            raise RuntimeError(f"{name} is imported already, so it can't be hidden any more")
        sys.modules[name] = None  # type: ignore[assignment]  # which is how Python spells it


def hidden() -> list[str]:
    """The packages of :data:`LACKING` that this process does without."""
    return [name for name in LACKING if name in sys.modules and sys.modules[name] is None]


def main(argv: list[str]) -> int:
    """``PACKAGE,PACKAGE MODULE ARGUMENTS``: hide the packages and run the module as ``python -m`` does."""
    if len(argv) < 2 or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    hide([name for name in argv[0].split(",") if name])
    sys.argv = argv[1:]
    runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
