"""The surfaces that the kinds of scene have in common."""

from __future__ import annotations

from dataclasses import replace

from data.simulated.description import Material

LEAF = Material(roughness=0.55, specular=0.3, translucency=0.32, noise=0.15, noise_scale=(30, 30, 30))
FAR_LEAF = replace(LEAF, noise=0.0, roughness=0.75, specular=0.15)
PETAL = Material(roughness=0.75, specular=0.1, translucency=0.4, noise=0.12, noise_scale=(60, 60, 60))
HEART = Material(roughness=0.95, specular=0.05, noise=0.5, noise_scale=(700, 700, 700), bump=0.6, bump_depth=0.002)
STEM = Material(roughness=0.65, specular=0.25, translucency=0.12, noise=0.12, noise_scale=(40, 40, 40))
BARK = Material(roughness=0.95, specular=0.1, noise=0.5, noise_scale=(30, 30, 7), bump=0.8, bump_depth=0.02)
EARTH = Material(
    roughness=0.98,
    specular=0.05,
    noise=0.45,
    noise_scale=(9, 9, 9),
    bump=0.7,
    bump_depth=0.03,
    pattern="patches",
    pattern_size=(0.7, 0.7),
    pattern_color=(0.09, 0.075, 0.05),
)
STONE = Material(roughness=0.9, specular=0.2, noise=0.35, noise_scale=(6, 6, 6), bump=0.6, bump_depth=0.03)
PLASTER = Material(roughness=0.93, specular=0.1, noise=0.1, noise_scale=(3, 3, 2), bump=0.12, bump_depth=0.01)
BRICK = Material(
    roughness=0.92,
    specular=0.1,
    noise=0.2,
    noise_scale=(10, 10, 10),
    pattern="bricks",
    pattern_size=(0.25, 0.075),
    pattern_color=(0.36, 0.33, 0.29),
    bump=0.5,
    bump_depth=0.008,
)
WOOD = Material(
    roughness=0.55,
    specular=0.3,
    noise=0.2,
    noise_scale=(3, 3, 3),
    pattern="grain",
    pattern_size=(0.6, 7.0),
    pattern_contrast=0.6,
)
FABRIC = Material(roughness=0.95, specular=0.05, translucency=0.3, noise=0.06, noise_scale=(40, 40, 40))
CERAMIC = Material(roughness=0.25, specular=0.5, noise=0.06)
CLAY = Material(roughness=0.85, specular=0.1, noise=0.2, noise_scale=(14, 14, 14))
METAL = Material(roughness=0.4, metallic=0.8, noise=0.1)
PAINT = Material(roughness=0.45, specular=0.4, noise=0.06)
GLASS = Material(roughness=0.06, specular=0.8)
WATER = Material(roughness=0.03, specular=0.7, noise=0.1, noise_scale=(0.4, 0.4, 0.4))
