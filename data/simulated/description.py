"""What a scene consists of, and the folder by which Blender's worker is told: ``scene.json`` and ``arrays.npz``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.simulated.camera import Camera
from data.simulated.shapes.mesh import Mesh
from data.simulated.wind import Oscillators

Color = tuple[float, float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """A surface. Its colour is that of the vertices, varied by a pattern and by noise that stick to it as it moves."""

    roughness: float = 0.7
    specular: float = 0.35
    metallic: float = 0.0
    translucency: float = 0.0  # share of the light that goes through, as through leaves
    emission: float = 0.0  # strength of the light it gives
    noise: float = 0.0  # relative change of brightness
    noise_scale: Vector = (8.0, 8.0, 8.0)  # features a metre
    bump: float = 0.0
    bump_depth: float = 0.02  # metres
    pattern: str = ""  # a key of data.simulated.blender.materials.PATTERNS
    pattern_size: tuple[float, float] = (0.24, 0.08)
    pattern_color: Color = (0.3, 0.28, 0.26)
    pattern_contrast: float = 0.75
    pattern_gap: float = 0.012
    pattern_offset: float = 0.5


@dataclass(frozen=True, kw_only=True)
class World:
    """What surrounds the scene."""

    kind: str = "sky"  # or "gradient"
    elevation: float = 0.6  # of the sun, radians
    azimuth: float = 0.0
    air: float = 1.0
    dust: float = 1.5
    strength: float = 0.25
    horizon: Color = (0.75, 0.78, 0.82)  # of a gradient
    zenith: Color = (0.55, 0.6, 0.68)
    clouds: float = 0.0  # cover, 0 to 1
    cloud_place: Vector = (0.0, 0.0, 0.0)
    cloud_scale: float = 0.6
    cloud_softness: float = 0.25
    cloud_brightness: float = 3.5
    cloud_color: Color = (1.0, 0.98, 0.96)


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """A source of light that is not seen itself."""

    kind: str = "sun"  # or "area", "point"
    strength: float = 3.0
    color: Color = (1.0, 0.95, 0.88)
    size: float = 0.6  # degrees of a sun, metres of the others
    position: Vector = (0.0, 0.0, 3.0)
    direction: Vector = (0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Thing:
    """A mesh and its surface."""

    mesh: Mesh
    material: Material
    smooth: bool = True
    shadow: bool = True


@dataclass
class Scene:
    """A scene while it is built, and when it is complete."""

    camera: Camera
    world: World
    lamps: list[Lamp] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    oscillators: Oscillators = field(default_factory=Oscillators)
    extent: float = 3.0  # metres that a gust crosses
    amplitude: tuple[float, float] = (2.0, 0.5)  # median in pixels at 256 px width, and the spread of its logarithm
    brightness: float = 0.46  # of the picture's mean, 0 to 1
    season: str = "summer"
    haze: float = 0.1  # share of the air in the colour of what is far away
    bounces: int = 3

    def add(self, mesh: Mesh, material: Material, *, smooth: bool = True, shadow: bool = True) -> None:
        """Put a mesh into the scene; one without vertices is left out."""
        if len(mesh.vertices):
            self.things.append(Thing(mesh, material, smooth, shadow))


@dataclass(frozen=True)
class Shot:
    """A picture to render: the vertices of each thing at that time, and the channels that they carry into passes."""

    name: str
    channels: Sequence[np.ndarray]  # of each thing, float32 [V, C]
    vertices: Sequence[np.ndarray | None] | None = None  # None: at rest
    seed: int = 0

    @property
    def passes(self) -> int:
        return -(-max(channels.shape[1] for channels in self.channels) // 3)


def write_scene(folder: Path, scene: Scene, shots: Sequence[Shot], *, size: tuple[int, int], samples: int) -> None:
    """Write what `data.simulated.blender.worker` renders, ``<shot>.exr`` for each of the shots in order.

    Args:
        size: width and height of the pictures.
        samples: light paths a pixel.
    """
    arrays: dict[str, np.ndarray] = {}
    things: list[dict[str, Any]] = []
    for number, thing in enumerate(scene.things):
        for name in ("vertices", "quads", "triangles", "colors", "uvs"):
            arrays[f"{number}.{name}"] = getattr(thing.mesh, name)
        things.append({"material": asdict(thing.material), "smooth": thing.smooth, "shadow": thing.shadow})
    for shot in shots:
        for number, channels in enumerate(shot.channels):
            arrays[f"{number}.{shot.name}.channels"] = channels.astype(np.float32)
        for number, vertices in enumerate(shot.vertices or ()):
            if vertices is not None:
                arrays[f"{number}.{shot.name}.vertices"] = vertices.astype(np.float32)
    camera = asdict(scene.camera) | {"axes": scene.camera.axes.tolist()}
    camera["focus"] = scene.camera.focus or scene.camera.distance
    described = {
        "size": size,
        "samples": samples,
        "bounces": scene.bounces,
        "camera": camera,
        "world": asdict(scene.world),
        "lamps": [asdict(lamp) for lamp in scene.lamps],
        "things": things,
        "shots": [
            {"name": shot.name, "passes": shot.passes, "rest": shot.vertices is None, "seed": shot.seed}
            for shot in shots
        ],
    }
    np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    (folder / "scene.json").write_text(json.dumps(described), encoding="utf-8")
