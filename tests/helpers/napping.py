"""Work that lasts, for tests of workers that are stopped."""

from __future__ import annotations

import time
from pathlib import Path


def nap(number: int, *, folder: Path) -> None:
    """Leave a file and sleep for a minute."""
    (folder / f"nap_{number}").touch()
    time.sleep(60)
