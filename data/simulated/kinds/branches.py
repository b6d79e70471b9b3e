"""Branches and bushes, close enough to see each leaf."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.camera import SENSOR, Camera
from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.closeups import garden_behind
from data.simulated.kinds.outdoors import far_away, lawn, looking
from data.simulated.shapes.foliage import LeafShape, crosswise, curved_paths, swaying, tubes
from data.simulated.shapes.grasses import grass, scattered, tufts
from data.simulated.shapes.mesh import Mesh, linear, unit
from data.simulated.shapes.nodes import BRANCH, STEM, Nodes, grow, still_nodes
from data.simulated.shapes.species import BLOSSOM
from data.simulated.shapes.surroundings import greens
from data.simulated.shapes.tree_species import TREES
from data.simulated.shapes.trees import STEPS, blossoms, branching, foliage, with_twigs


def blossom_branch(random: np.random.Generator) -> Scene:
    """One to three branches in blossom, or with young or coloured leaves, that come in from the side."""
    distance = float(random.uniform(0.9, 1.6))
    scene = looking(random, height=(1, 1), distance=1.0, aim=1.0, lens=(50, 50), extent=2.0, amplitude=(2.6, 0.5))
    scene.camera = Camera(
        position=(0.0, -distance, 1.6),
        target=(0.0, 0.0, 1.6 + float(random.uniform(-0.1, 0.3))),
        lens=float(random.uniform(45, 85)),
        focus=distance,
        fstop=float(np.exp(random.uniform(*np.log((1.4, 6.0))))),
        roll=float(random.normal(0, 0.03)),
    )
    blooming = random.uniform() < 0.6
    scene.season = "spring" if blooming else str(random.choice(["spring", "summer", "autumn"]))
    limbs, lengths, bark = _from_the_side(scene, random, count=int(random.integers(1, 4)))
    outline = str(random.choice(["ovate", "heart", "lanceolate"]))
    shape = LeafShape(outline=outline, width=0.33, fold=0.2)
    species = replace(TREES["lime"], twigs=10, twig=0.34, leaves=7, leaf=0.05, trunk=0.02, crooked=0.2, shape=shape)
    wood = with_twigs(species, limbs, lengths, [bark], scene.oscillators, random)
    scene.add(wood.bark, materials.BARK)
    if blooming:
        color = BLOSSOM.colors[int(random.integers(3))]
        kind = replace(BLOSSOM, colors=(color,), heart=0.002, heart_color=(190, 150, 70))
        each, scale = int(random.integers(8, 18)), float(random.uniform(0.9, 1.5))
        scene.add(blossoms(wood, kind, random, each=each, scale=scale), materials.PETAL)
    colors = np.stack([greens(scene.season, random) for _ in range(2)])
    share, size = 0.5 if blooming else 1.6, float(random.uniform(0.75, 1.5))
    scene.add(foliage(wood, species, colors, scene.oscillators, random, share=share, size=size), materials.LEAF)
    garden_behind(scene, random, scale=1.2, distance=2.5 * distance)
    return scene


def _from_the_side(scene: Scene, random: np.random.Generator, *, count: int) -> tuple[Nodes, np.ndarray, Mesh]:
    """Branches that enter the picture at its left or right edge: their nodes, lengths [N] and bark."""
    camera, side = scene.camera, float(random.choice([-1, 1]))
    half = camera.distance * SENSOR / 2 / camera.lens  # of the picture's width, in metres
    depth = random.uniform(-0.12, 0.25, count) * camera.distance
    height = camera.target[2] + random.uniform(-0.5, 0.5, count) * half
    start = np.stack([np.full(count, -1.25 * side * half), depth, height], axis=1)
    slants = [np.full(count, side), random.normal(0, 0.15, count), random.normal(0.05, 0.3, count)]
    lengths = half * random.uniform(1.4, 2.4, count)
    limbs = branching(
        still_nodes(start),
        unit(np.stack(slants, axis=1)),
        lengths,
        scene.oscillators,
        random,
        level=BRANCH,
        frequency=0.8,
        hang=0.1,
        crooked=0.25,
        tip=0.08,
    )
    radii = 0.016 * lengths[:, None] * np.linspace(1, 0.35, STEPS)
    return limbs, lengths, tubes(limbs, STEPS, radii, np.broadcast_to(linear(96, 78, 66), (count, 3)), sides=7)


def bush(random: np.random.Generator) -> Scene:
    """A bush with leaves, sometimes with flowers, close enough to see each leaf."""
    scene = looking(
        random,
        height=(0.8, 1.5),
        distance=float(random.uniform(1.6, 2.6)),
        aim=0.55,
        lens=(35, 60),
        fstop=(2.0, 11.0),
        extent=2.0,
        amplitude=(2.0, 0.5),
    )
    lawn(scene, random)
    stems, heights, bark = _shrub(scene, random, count=int(random.integers(9, 18)))
    outline = str(random.choice(["ovate", "lanceolate", "round", "heart"]))
    species = replace(
        TREES["lime"],
        twigs=9,
        twig=0.4,
        hang=0.05,
        leaves=11,
        leaf=float(random.uniform(0.05, 0.09)),
        shape=LeafShape(outline=outline, width=0.34, fold=0.25),
        trunk=0.014,
    )
    wood = with_twigs(species, stems, heights, [bark], scene.oscillators, random)
    scene.add(wood.bark, materials.BARK)
    colors = np.stack([greens(scene.season, random) for _ in range(3)])
    scene.add(foliage(wood, species, colors, scene.oscillators, random), materials.LEAF)
    if random.uniform() < 0.45:
        tints = ((212, 90, 120), (236, 232, 226), (120, 110, 180), (226, 170, 70), (186, 40, 50))
        kind = replace(BLOSSOM, colors=(tints[int(random.integers(5))],), petals=int(random.choice([5, 6, 14])))
        scene.add(blossoms(wood, kind, random, each=2, scale=float(random.uniform(1.4, 2.6))), materials.PETAL)
    roots = tufts(scattered(scene.camera, 400, random, near=1.0, far=9.0), 5, random, radius=0.07)
    short = 0.11 * np.exp(random.normal(0, 0.3, len(roots)))
    scene.add(grass(roots, short, greens(scene.season, random), scene.oscillators, random)[0], materials.LEAF)
    far_away(scene, random, near=7.0)
    return scene


def _shrub(scene: Scene, random: np.random.Generator, *, count: int) -> tuple[Nodes, np.ndarray, Mesh]:
    """Stems that rise from one place and lean apart: their nodes, lengths [N] and bark."""
    roots = np.concatenate([random.normal(0, 0.12, (count, 2)), np.zeros((count, 1))], axis=1)
    angle = random.uniform(0, 2 * np.pi, count)
    leans = random.uniform(0.2, 0.9, count)[:, None] * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    heights = random.uniform(0.7, 1.15, count)
    paths = curved_paths(roots, heights, leans, random, steps=STEPS, wobble=0.1)
    modes = swaying(scene.oscillators, roots, random, frequency=0.9, damping=0.12)
    stems = grow(
        still_nodes(roots),
        paths,
        level=STEM,
        modes=modes,
        directions=crosswise(count, random),
        tips=0.07 * heights[:, None].repeat(2, 1),
    )
    radii = 0.008 * np.linspace(1, 0.4, STEPS)[None].repeat(count, 0)
    return stems, heights, tubes(stems, STEPS, radii, np.broadcast_to(linear(104, 86, 68), (count, 3)))
