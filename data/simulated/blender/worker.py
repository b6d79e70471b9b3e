"""Renders scenes one after the other; `data.simulated.renderer` starts :func:`main` in Blender's own Python.

Each line on standard input names a folder that `data.simulated.description` wrote; the pictures go there too, and a
line of JSON on standard output answers, ``{"seconds": ...}`` or ``{"error": ...}``. The process ends with its input,
so it cannot outlive the program that started it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer one request after the other."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Blender reports each file that it saves on standard output
    from data.simulated.blender.rendering import render_shots

    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        started = time.process_time()
        try:
            render_shots(Path(line.strip()))
            answer: dict[str, Any] = {"seconds": time.process_time() - started}
        except Exception as error:  # whatever Blender makes of one scene, the next one is to be rendered
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        print(json.dumps(answer), file=answers, flush=True)
