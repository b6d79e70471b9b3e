"""Close-ups before blurred backgrounds: one or a few flowers, branches, ears of grass."""

from __future__ import annotations

import numpy as np

from data.simulated.camera import Camera
from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.shapes.flowers import flowers
from data.simulated.shapes.mesh import UP, linear
from data.simulated.shapes.species import SPECIES
from data.simulated.shapes.surroundings import draw_season, foliage_cloud, greens, ground
from data.simulated.weather import draw_weather

CLOSE = ("daisy", "cosmos", "poppy", "tulip", "rudbeckia", "sunflower", "peony", "allium", "marguerite", "cornflower")


def closeup_flower(random: np.random.Generator) -> Scene:
    """One to four flowers of a kind, sharp, and the garden behind them out of focus."""
    species = SPECIES[str(random.choice(CLOSE))]
    count = int(random.choice([1, 1, 2, 3, 4]))
    heights = species.stem * np.exp(random.normal(0, 0.1, count))
    reach = 3.2 * (species.length + species.heart)
    roots = np.zeros((count, 3))
    roots[1:, :2] = random.uniform(-1.4, 1.4, (count - 1, 2)) * reach * [1.2, 1.5]
    target = np.array([random.uniform(-0.7, 0.7) * reach, 0, heights[0] - random.uniform(0.1, 0.5) * reach])
    distance = 2 * reach * random.uniform(1.5, 3.6)
    position = target + distance * np.array([random.uniform(-0.3, 0.3), -1.0, random.uniform(0.1, 0.5)])
    camera = Camera(
        position=tuple(position),
        target=tuple(target),
        lens=float(random.uniform(60, 100)),
        focus=float(np.linalg.norm(position - heights[0] * UP)),
        fstop=float(random.uniform(1.2, 4.0)),
        roll=float(random.normal(0, 0.03)),
    )
    weather = draw_weather(random, behind=-np.pi / 2)
    scene = Scene(camera, weather.world, list(weather.lamps), extent=1.5, amplitude=(3.2, 0.55))
    facing = np.array([random.normal(0, 0.3), -1.0, 0.25])
    for name, mesh in flowers(species, roots, heights, scene.oscillators, random, facing=facing).items():
        scene.add(mesh, {"petals": materials.PETAL, "hearts": materials.HEART}.get(name, materials.LEAF))
    garden_behind(scene, random, scale=reach / 0.15, distance=distance)
    return scene


def garden_behind(scene: Scene, random: np.random.Generator, *, scale: float, distance: float) -> None:
    """Foliage and patches of flowers behind what is near, out of focus, and the ground."""
    season = draw_season(random)
    scene.season = season
    green = greens(season, random)
    scene.add(ground(0.7 * green + 0.3 * linear(110, 92, 66), random), materials.EARTH)
    count = int(random.integers(5, 11))
    depth = distance * random.uniform(1.2, 5.0, count) + 0.5 * scale
    centers = np.stack([random.uniform(-0.9, 0.9, count) * (depth + distance), depth, np.zeros(count)], axis=1)
    radii = np.stack([random.uniform(0.3, 0.9, count), random.uniform(0.2, 0.5, count)], axis=1)
    radii = (0.25 * depth[:, None] + 0.3 * scale) * radii[:, [0, 0, 1]] * [1, 1, 1.6]
    centers[:, 2] = radii[:, 2] * random.uniform(0.2, 1.0, count)
    scene.add(
        foliage_cloud(
            centers,
            radii,
            scene.oscillators,
            random,
            count=620,
            size=0.115 * float(np.mean(radii)),
            color=green,
            spread=0.35,
        ),
        materials.FAR_LEAF,
    )
    if random.uniform() < 0.6:
        tints = np.array([linear(*c) for c in ((220, 190, 90), (200, 120, 150), (225, 222, 215), (150, 130, 180))])
        spots = int(random.integers(2, 5))
        places = np.stack(
            [
                random.uniform(-0.8, 0.8, spots) * distance * 2,
                random.uniform(1.0, 3.0, spots) * distance,
                random.uniform(0.1, 0.6, spots) * scale,
            ],
            axis=1,
        )
        color = tints[int(random.integers(len(tints)))]
        size = 0.04 * scale * random.uniform(0.7, 1.5)
        spread = np.full((spots, 3), 0.35 * scale) * [1, 1, 0.4]
        scene.add(
            foliage_cloud(places, spread, scene.oscillators, random, count=60, size=size, color=color), materials.PETAL
        )
