"""Light and sky: by day and season, in sun, under clouds, at dusk, and in rooms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.simulated.description import Lamp, World

DAYLIGHT = {"sun": 0.34, "haze": 0.18, "overcast": 0.26, "low sun": 0.16, "dusk": 0.06}


@dataclass(frozen=True)
class Weather:
    """A light outdoors."""

    name: str
    world: World
    lamps: tuple[Lamp, ...]
    sun: np.ndarray  # unit vector [3] towards the sun
    haze: float  # share of the horizon's colour in what is 300 m away


def draw_weather(random: np.random.Generator, *, behind: float | None = None) -> Weather:
    """A random light outdoors.

    Args:
        behind: azimuth in radians from which the camera looks; the sun is then mostly beside or behind it.
    """
    name = str(random.choice(list(DAYLIGHT), p=list(DAYLIGHT.values())))
    azimuth = random.uniform(0, 2 * np.pi)
    if behind is not None:
        azimuth = behind + random.choice([-1, 1]) * random.uniform(0.3, 1.9)
    elevation = np.radians(random.uniform(28, 62))
    if name == "low sun":
        elevation = np.radians(random.uniform(7, 18))
    if name == "dusk":
        elevation = np.radians(random.uniform(1.5, 4))
    sun = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    covered = {"sun": random.uniform(0.0, 0.55), "haze": 0.35, "overcast": 1.0, "low sun": random.uniform(0, 0.4)}
    if name == "overcast":
        gray = random.uniform(0.9, 1.0)
        world = World(
            kind="gradient",
            horizon=(gray, gray, gray * 1.01),
            zenith=(0.72, 0.76, 0.82),
            strength=1.1,
            clouds=random.uniform(0.0, 0.8),
            cloud_brightness=0.75,
            cloud_softness=0.4,
            cloud_place=tuple(random.uniform(-50, 50, 3)),
            cloud_scale=random.uniform(0.25, 0.6),
        )
        lamps = (_sun(sun, 0.7, (1.0, 0.98, 0.95), 35.0),)
        return Weather(name, world, lamps, sun, random.uniform(0.3, 0.8))
    low = name in ("low sun", "dusk")
    world = World(
        elevation=float(elevation),
        azimuth=float(np.pi / 2 - azimuth),
        air=float(random.uniform(0.8, 1.4)),
        dust=float(random.uniform(2, 6) if name == "haze" else random.uniform(0.6, 2)),
        strength=0.3,
        clouds=float(covered.get(name, 0.2)),
        cloud_place=tuple(random.uniform(-50, 50, 3)),
        cloud_scale=float(random.uniform(0.25, 0.8)),
        cloud_softness=float(random.uniform(0.12, 0.35)),
        cloud_brightness=1.6 if low else 3.2,
        cloud_color=(1.0, 0.8, 0.64) if low else (1.0, 0.98, 0.96),
    )
    strength = {"sun": 3.6, "haze": 1.9, "low sun": 2.6, "dusk": 0.25}[name] * np.exp(random.normal(0, 0.15))
    color = (1.0, 0.72, 0.45) if low else (1.0, 0.93, 0.84)
    lamps = (_sun(sun, float(strength), color, 2.5 if name == "haze" else 0.6),)
    return Weather(name, world, lamps, sun, random.uniform(0.25, 0.6) if name == "haze" else random.uniform(0.05, 0.25))


def _sun(sun: np.ndarray, strength: float, color: tuple[float, float, float], size: float) -> Lamp:
    direction = (float(-sun[0]), float(-sun[1]), float(-sun[2]))
    return Lamp(kind="sun", strength=strength, color=color, size=size, direction=direction)


def room_light(random: np.random.Generator) -> tuple[World, list[Lamp]]:
    """The light of a room whose camera looks along +y at something near the origin: a window beside it, or lamps."""
    evening = random.uniform() < 0.3
    side = random.choice([-1, 1])
    tone = (1.0, 0.78, 0.55) if evening else (0.92, 0.96, 1.0)
    world = World(kind="gradient", horizon=tone, zenith=tone, strength=float(random.uniform(0.06, 0.25)), clouds=0.0)
    place = (float(side * random.uniform(1.5, 2.4)), float(random.uniform(-1.4, 0.2)), float(random.uniform(1.1, 1.9)))
    target = np.array([0, 0.2, 0.4]) - place
    window = Lamp(
        kind="area",
        strength=float(random.uniform(45, 110)),
        color=tone,
        size=float(random.uniform(0.5, 1.5)),
        position=place,
        direction=tuple(target.tolist()),
    )
    lamps = [window]
    if not evening and random.uniform() < 0.35:
        strength = float(random.uniform(1.5, 3.0))
        lamps.append(Lamp(kind="sun", strength=strength, size=0.6, direction=(-side * 0.8, 0.5, -0.55)))
    return world, lamps
