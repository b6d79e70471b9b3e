"""Candles, whose flames flicker in the dark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.description import Lamp, Material, Scene, World
from data.simulated.kinds import materials
from data.simulated.kinds.rooms import clutter, room
from data.simulated.shapes.mesh import UP, Mesh, linear
from data.simulated.shapes.solids import cylinder, lathe


def candles(random: np.random.Generator) -> Scene:
    """One to seven candles in the dark, whose flames flicker."""
    scene = room(random, distance=float(random.uniform(0.6, 1.0)), aim=0.12, lens=(45, 75), amplitude=(1.5, 0.5))
    dim = float(random.uniform(0.002, 0.02))
    scene.world = World(kind="gradient", horizon=(0.8, 0.85, 1.0), zenith=(0.7, 0.8, 1.0), strength=dim)
    scene.lamps = []
    scene.brightness = float(random.uniform(0.16, 0.3))
    count = int(random.choice([1, 1, 2, 3, 5, 7]))
    tints = ((232, 222, 200), (196, 60, 46), (214, 190, 150), (110, 76, 60), (226, 224, 220))
    tint = linear(*tints[int(random.integers(5))])
    spots = np.stack([random.uniform(-0.24, 0.24, count), random.uniform(-0.1, 0.2, count)], axis=1)
    if count == 1:
        spots *= 0.3
    for x, y in spots:
        radius, height = float(random.uniform(0.018, 0.04)), float(random.uniform(0.05, 0.18))
        _candle(scene, random, np.array([x, y, 0.0]), radius, height, tint)
    clutter(scene, random, int(random.integers(0, 4)), keep=0.28)
    return scene


def _candle(
    scene: Scene, random: np.random.Generator, place: np.ndarray, radius: float, height: float, color: np.ndarray
) -> None:
    wax = lathe(
        [(0, 0), (radius, 0), (radius, height), (0.8 * radius, height - 0.002), (0, height - 0.006)], color, sides=20
    )
    glow = np.exp(-(height - wax.vertices[:, 2:3]) / 0.03)
    scene.add(
        replace(wax, colors=(wax.colors * (0.75 + 0.6 * glow)).clip(0, 0.95).astype(np.float32)).moved(place),
        replace(materials.CERAMIC, roughness=0.5, translucency=0.3, emission=0.03),
    )
    if random.uniform() < 0.5:
        dish = [
            (0, 0),
            (1.5 * radius, 0),
            (2.1 * radius, 0.012),
            (2.0 * radius, 0.014),
            (1.4 * radius, 0.004),
            (0, 0.004),
        ]
        surface = materials.METAL if random.uniform() < 0.5 else materials.CERAMIC
        scene.add(lathe(dish, linear(150, 140, 124), sides=26).moved(place), surface)
    wick = place + (height - 0.005) * UP
    scene.add(cylinder(0.0012, 0.011, linear(30, 24, 20), sides=6).moved(wick), materials.CLAY)
    size = float(random.uniform(0.03, 0.05))
    scene.add(
        _flame(scene, random, wick + 0.006 * UP, size),
        Material(emission=float(random.uniform(25, 60)), roughness=1.0),
        shadow=False,
    )
    light = Lamp(
        kind="point",
        strength=float(random.uniform(0.8, 2.0)),
        color=(1.0, 0.56, 0.22),
        size=0.012,
        position=tuple((wick + 0.6 * size * UP).tolist()),
    )
    scene.lamps.append(light)


def _flame(scene: Scene, random: np.random.Generator, foot: np.ndarray, size: float) -> Mesh:
    """A drop of light, whose tip bends and stretches."""
    share = np.linspace(0, 1, 14)
    radius = 0.2 * size * np.sin(np.pi * share**0.62) ** 0.9 * (1 - 0.3 * share)
    drop = lathe(list(zip(radius, size * share, strict=True)), np.ones(3), sides=14)
    z = drop.vertices[:, 2:3] / size
    colors = np.array([1.0, 0.5, 0.12]) * np.clip(0.25 + 1.3 * z, 0, 1) + np.array([0.05, 0.08, 0.3]) * np.clip(
        0.25 - z, 0, 1
    )
    rates = np.array([1.6, 1.9, 3.0, 3.6]) * np.exp(random.normal(0, 0.15, 4))
    numbers = scene.oscillators.add(rates, 0.25, foot[None], np.array([1.0, 0.8, 0.6, 0.5]))
    modes = np.zeros((len(drop.vertices), 8), np.int32)
    gains = np.zeros((len(drop.vertices), 8, 3), np.float32)
    modes[:, :4] = numbers
    high = z[:, 0] ** 1.6
    gains[:, 0, 0], gains[:, 1, 1] = 0.16 * size * high, 0.16 * size * high
    gains[:, 2, 2] = 0.14 * size * z[:, 0]
    gains[:, 3, 0] = 0.09 * size * np.sin(2.5 * np.pi * z[:, 0]) * z[:, 0]
    return replace(drop, colors=colors.astype(np.float32), modes=modes, gains=gains).moved(foot)
