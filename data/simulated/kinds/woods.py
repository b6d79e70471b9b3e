"""Trees and bushes: near and far, their branches before the sky, leaves on walls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import far_away, lawn, looking
from data.simulated.shapes.flowers import fluttering
from data.simulated.shapes.foliage import LeafShape, leaves, swaying
from data.simulated.shapes.grasses import grass, scattered, tufts
from data.simulated.shapes.mesh import grids, linear, tinted, unit
from data.simulated.shapes.nodes import STEM, still_nodes
from data.simulated.shapes.species import BLOSSOM
from data.simulated.shapes.surroundings import greens
from data.simulated.shapes.tree_species import TREES
from data.simulated.shapes.trees import blossoms, foliage, tree


def whole_tree(random: np.random.Generator) -> Scene:
    """A tree on a meadow, its whole crown in the picture."""
    height = float(random.uniform(5, 11))
    scene = looking(
        random,
        height=(1.2, 1.9),
        distance=float(height * random.uniform(1.5, 2.2)),
        aim=0.48 * height,
        lens=(26, 36),
        extent=height,
        amplitude=(1.3, 0.5),
    )
    green = lawn(scene, random)
    put_tree(scene, str(random.choice(list(TREES))), np.array([random.normal(0, 0.1) * height, 0, 0]), height, random)
    roots = tufts(scattered(scene.camera, 700, random, near=3.0, far=3 * height), 4, random, radius=0.12)
    heights = 0.16 * np.exp(random.normal(0, 0.3, len(roots)))
    scene.add(grass(roots, heights, green, scene.oscillators, random, width=0.008)[0], materials.LEAF)
    far_away(scene, random, near=2.2 * height)
    return scene


def put_tree(
    scene: Scene,
    name: str,
    root: np.ndarray,
    height: float,
    random: np.random.Generator,
    *,
    share: float = 1.0,
    size: float = 1.0,
    blooming: bool = False,
) -> None:
    """A tree of the scene's season at ``root``."""
    species = TREES[name]
    wood = tree(species, root, height, scene.oscillators, random, frequency=float(3.2 / height**0.9))
    scene.add(wood.bark, materials.BARK)
    if blooming:
        scene.add(blossoms(wood, BLOSSOM, random, each=6, scale=4.0 * size), materials.PETAL)
        share *= 0.3
    if scene.season == "winter" and name != "fir":
        share *= 0.12
    colors = np.stack([greens("summer" if name == "fir" else scene.season, random) for _ in range(3)])
    if name == "fir":
        colors = colors * [0.6, 0.75, 0.8]
    mesh = foliage(wood, species, colors, scene.oscillators, random, share=share, size=size)
    scene.add(mesh, materials.LEAF)


def crown_sky(random: np.random.Generator) -> Scene:
    """A part of a crown before the sky, seen from below."""
    height = float(random.uniform(5, 9))
    scene = looking(
        random,
        height=(1.4, 2.0),
        distance=float(random.uniform(0.45, 0.8) * height),
        aim=float(random.uniform(0.55, 0.85) * height),
        lens=(30, 60),
        extent=height,
        amplitude=(2.2, 0.5),
    )
    name = str(random.choice(["oak", "lime", "birch", "maple", "willow", "poplar"]))
    offset = random.choice([-1, 1]) * random.uniform(0.1, 0.4) * height
    species = TREES[name]
    wood = tree(species, np.array([offset, 0, 0]), height, scene.oscillators, random, frequency=0.5)
    scene.add(wood.bark, materials.BARK)
    colors = np.stack([greens(scene.season, random) for _ in range(3)])
    share = {"winter": 0.1, "spring": 0.6}.get(scene.season, 1.0)
    mesh = foliage(
        wood, replace(species, shape=replace(species.shape, across=3)), colors, scene.oscillators, random, share=share
    )
    scene.add(mesh, materials.LEAF)
    lawn(scene, random)
    return scene


def ivy_wall(random: np.random.Generator) -> Scene:
    """A wall on which a climber grows, all over it or in a part."""
    scene = looking(
        random,
        height=(1.2, 1.8),
        distance=float(random.uniform(1.4, 3.0)),
        aim=1.5,
        lens=(35, 60),
        extent=2.5,
        amplitude=(1.3, 0.5),
        fstop=(4.0, 16.0),
    )
    wall = np.array([[[-6, 0, -1], [6, 0, -1]], [[-6, 0, 6], [6, 0, 6]]], float)
    surface = materials.BRICK if random.uniform() < 0.6 else materials.PLASTER
    color = linear(146, 92, 70) if surface is materials.BRICK else linear(190, 178, 156)
    mesh = grids(wall[None], color * np.exp(random.normal(0, 0.15)))
    scene.add(replace(mesh, uvs=mesh.vertices[:, [0, 2]].copy()), surface, smooth=False)
    count = int(random.integers(1100, 2600))
    x, z = random.uniform(-2.2, 2.2, count), random.uniform(0.2, 3.0, count)
    edge = random.uniform(-1.4, 1.4) + 0.35 * np.sin(3 * z + random.uniform(0, 6)) + 0.2 * np.sin(7 * z)
    side = random.choice([-1, 1])
    keep = (
        (side * (x - edge) > -0.4 * random.exponential(0.5, count)) if random.uniform() < 0.7 else np.ones(count, bool)
    )
    places = np.stack([x, -random.uniform(0.02, 0.16, count), z], axis=1)[keep]
    nodes = still_nodes(places)
    patch = (np.floor(places[:, 0] / 0.35) * 31 + np.floor(places[:, 2] / 0.35)).astype(int)
    _, group = np.unique(patch, return_inverse=True)
    spots = np.zeros((group.max() + 1, 3))
    spots[group] = places
    shared = swaying(scene.oscillators, spots, random, frequency=0.9, damping=0.2)
    for number, direction in enumerate(([1.0, 0, 0.2], [0.1, -1.0, 0.3])):
        nodes.modes[:, STEM + number] = shared[group, number]
        nodes.translation[:, STEM + number] = 0.008 * np.asarray(direction)
    axes = unit(random.normal(size=places.shape) * [0.7, 0.25, 0.4] + np.array([0, -0.35, -0.8]))
    normals = unit(random.normal(0, 0.3, places.shape) + np.array([0, -1.0, 0.45]))
    sizes = random.uniform(0.06, 0.11) * np.exp(random.normal(0, 0.25, len(places)))
    colors = tinted(greens(scene.season, random), len(places), random, spread=0.25)
    shape = LeafShape(outline=str(random.choice(["heart", "lobed", "ovate"])), width=0.46, fold=0.12)
    flutter = fluttering(scene.oscillators, places, random, angle=0.2, frequency=1.8)
    scene.add(leaves(nodes, axes, normals, sizes, colors, random, shape=shape, flutter=flutter), materials.LEAF)
    lawn(scene, random)
    return scene
