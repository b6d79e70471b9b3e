"""What scenes outdoors have in common: where the camera stands, the light, the far background."""

from __future__ import annotations

import numpy as np

from data.simulated.camera import Camera
from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.shapes.mesh import linear
from data.simulated.shapes.surroundings import draw_season, foliage_cloud, greens, ground, hills
from data.simulated.weather import draw_weather


def looking(
    random: np.random.Generator,
    *,
    height: tuple[float, float],
    distance: float,
    aim: float,
    lens: tuple[float, float],
    fstop: tuple[float, float] | None = None,
    amplitude: tuple[float, float] = (1.8, 0.55),
    extent: float = 4.0,
) -> Scene:
    """An empty scene in daylight, whose camera looks along +y at the origin.

    Args:
        height: of the camera in metres, lowest and highest.
        distance: from the camera to the origin.
        aim: height of what the camera looks at.
        lens: shortest and longest focal length in millimetres.
        fstop: apertures, widest first; everything is sharp without.
    """
    position = (float(random.normal(0, 0.1) * distance), -distance, float(random.uniform(*height)))
    camera = Camera(
        position=position,
        target=(float(random.normal(0, 0.06) * distance), 0.0, aim),
        lens=float(random.uniform(*lens)),
        fstop=None if fstop is None else float(np.exp(random.uniform(*np.log(fstop)))),
        roll=float(random.normal(0, 0.015)),
    )
    weather = draw_weather(random, behind=-np.pi / 2)
    return Scene(
        camera,
        weather.world,
        list(weather.lamps),
        amplitude=amplitude,
        extent=extent,
        season=draw_season(random),
        haze=weather.haze,
    )


def far_away(scene: Scene, random: np.random.Generator, *, trees: int = 14, near: float = 25.0) -> None:
    """Hills and rows of trees before the sky, paler the farther they are."""
    haze = linear(186, 196, 206) * 0.9
    green = greens(scene.season, random)
    if random.uniform() < 0.75:
        color = 0.75 * green + 0.25 * linear(80, 90, 80)
        height = float(random.uniform(8, 45))
        scene.add(
            hills(random, color, distance=600.0, height=height, haze=haze * (0.15 + scene.haze)), materials.FAR_LEAF
        )
    if not trees:
        return
    distance = random.uniform(near, near * 3.5, trees)
    spots = np.stack([random.uniform(-0.8, 0.8, trees) * distance, distance, np.zeros(trees)], axis=1)
    high = random.uniform(2.0, 6.5, trees)
    radii = np.stack([high * random.uniform(0.5, 1.1, trees), high * 0.6, high], axis=1)
    spots[:, 2] = 0.55 * high
    share = np.clip(scene.haze * 0.7, 0, 0.6)
    color = (1 - share) * green * random.uniform(0.6, 0.9) + 0.4 * share * haze
    mesh = foliage_cloud(
        spots, radii, scene.oscillators, random, count=620, size=0.8, color=color, sway=0.012, spread=0.25
    )
    scene.add(mesh, materials.FAR_LEAF)


def lawn(scene: Scene, random: np.random.Generator, *, color: np.ndarray | None = None) -> np.ndarray:
    """Ground of about the colour of the season's grass, which is returned."""
    green = greens(scene.season, random) if color is None else color
    scene.add(ground(0.75 * green + 0.12 * linear(120, 105, 70), random), materials.EARTH)
    return green


def hedge(scene: Scene, random: np.random.Generator, *, distance: float, height: float, count: int = 9) -> None:
    """Bushes side by side at a distance behind the origin."""
    x = np.linspace(-1.1, 1.1, count) * (distance + scene.camera.distance) * 0.75
    centers = np.stack([x, np.full(count, distance), np.full(count, 0.5 * height)], axis=1)
    centers += random.normal(0, 0.08, centers.shape) * height
    wide = 0.8 * (x[1] - x[0])
    radii = np.stack([np.full(count, wide), np.full(count, 0.4 * height), np.full(count, 0.6 * height)], axis=1)
    green = greens(scene.season, random) * 0.85
    mesh = foliage_cloud(
        centers, radii, scene.oscillators, random, count=700, size=0.075 * max(height, 0.6), color=green
    )
    scene.add(mesh, materials.LEAF)
