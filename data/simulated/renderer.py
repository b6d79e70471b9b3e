"""Blender's worker as a process of its own: started when it is needed, started anew when it dies or has grown."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.simulated.description import Scene, Shot, write_scene
from data.simulated.exr import read_exr

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_PYTHON = ROOT / ".venv-blender" / "bin" / "python"
SCENES_A_PROCESS = 40  # Blender does not give all of its memory back
LAYER = "ViewLayer"
WORKER = "from data.simulated.blender.worker import main; main()"


@dataclass(frozen=True)
class Picture:
    """What a shot gave, at the size that it was rendered with."""

    light: np.ndarray  # float32 [h, w, 3], linear
    channels: np.ndarray  # float32 [h, w, C]


@dataclass(frozen=True)
class BlenderPython:
    """The interpreter that has ``bpy``; calling it starts a renderer (see :meth:`data.workers.Workers.map`)."""

    path: Path = DEFAULT_PYTHON

    def __call__(self) -> Renderer:
        return Renderer(self.path)

    def check(self) -> None:
        """Raise a ValueError of one line if it cannot be used."""
        if not self.path.is_file():
            raise ValueError(
                f"{self.path}: no such interpreter; make simulated sets up .venv-blender, and --blender-python names "
                "another one that has bpy 4.5"
            )
        code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('bpy') is None)"
        if subprocess.run([str(self.path), "-c", code], capture_output=True).returncode:
            raise ValueError(f"{self.path}: has no bpy; install it there with pip install -r requirements-blender.txt")


class Renderer:
    """Renders scenes in a process that ends with this one. Call :meth:`close`."""

    def __init__(self, python: Path) -> None:
        self.python = python
        self._process: subprocess.Popen[str] | None = None
        self._rendered = 0

    def render(
        self, scene: Scene, shots: Sequence[Shot], *, size: tuple[int, int], samples: int
    ) -> tuple[list[Picture], float]:
        """The pictures of the shots, and the CPU seconds that Blender took.

        Raises:
            ValueError: Blender fails on this scene; one line.
        """
        with tempfile.TemporaryDirectory(prefix="simulated-") as name:
            folder = Path(name)
            write_scene(folder, scene, shots, size=size, samples=samples)
            seconds = self._ask(folder)
            pictures = [_read_picture(folder / f"{shot.name}.exr", shot) for shot in shots]
        return pictures, seconds

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process = None

    def _ask(self, folder: Path) -> float:
        if self._rendered >= SCENES_A_PROCESS:
            self.close()
        process = self._running()
        assert process.stdin is not None
        self._rendered += 1
        try:
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            answer = _answer(process)
        except OSError as error:
            self._process = None
            raise ValueError(f"Blender ended with status {process.wait()} while it rendered this scene") from error
        if "error" in answer:
            raise ValueError(f"Blender: {answer['error']}")
        return float(answer["seconds"])

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [str(self.python), "-c", WORKER]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"}
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._rendered = 0
            try:
                _answer(self._process)
            except OSError as error:
                process, self._process = self._process, None
                raise ValueError(f"{self.python}: Blender does not start, status {process.wait()}") from error
        return self._process


def _answer(process: subprocess.Popen[str]) -> dict:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise OSError("the worker has ended")
    return json.loads(line)


def _read_picture(path: Path, shot: Shot) -> Picture:
    channels = read_exr(path)
    light = np.stack([channels[f"{LAYER}.Combined.{part}"] for part in "RGB"], axis=-1)
    passes = [channels[f"{LAYER}.c{number}.{part}"] for number in range(shot.passes) for part in "RGB"]
    return Picture(light, np.stack(passes, axis=-1))
