"""Woody plants: trunks, branches and twigs that grow from each other, with leaves and blossoms on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.simulated.shapes.flowers import fluttering, rosette
from data.simulated.shapes.foliage import crosswise, leaves, swaying, tubes
from data.simulated.shapes.mesh import UP, Mesh, linear, merge, sideways, tinted, unit
from data.simulated.shapes.nodes import BRANCH, STEM, TWIG, Nodes, grow, still_nodes
from data.simulated.shapes.species import Species
from data.simulated.shapes.tree_species import TreeSpecies
from data.simulated.wind import Oscillators

STEPS = 6  # nodes of a trunk, a branch and a twig


@dataclass(frozen=True)
class Wood:
    """Trunks and branches, and the nodes of the twigs that leaves grow on."""

    bark: Mesh
    twigs: Nodes  # P * STEPS
    scale: np.ndarray  # [P], height of the tree that a twig belongs to
    height: np.ndarray  # [P], share of the tree's height at which it is


def tree(
    species: TreeSpecies,
    root: np.ndarray,
    height: float,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    frequency: float = 0.45,
) -> Wood:
    """Trunk, branches and twigs of a tree at ``root`` [3]."""
    steps = STEPS
    share = np.linspace(0, 1, 2 * steps)
    lean = random.normal(0, 0.05, 2) * height
    trunk = np.stack([lean[0] * share**1.5, lean[1] * share**1.5, height * 0.92 * share], axis=1)
    bends = np.cumsum(random.normal(0, species.crooked * height * 0.05, (2 * steps, 2)), axis=0)
    trunk[:, :2] += (bends - bends[0]) * share[:, None]
    modes = swaying(oscillators, root[None], random, frequency=frequency, damping=0.1)
    tips = np.full((1, 2), 0.045 * height)
    stem = grow(
        still_nodes(root[None]),
        (root + trunk)[None],
        level=STEM,
        modes=modes,
        directions=crosswise(1, random),
        tips=tips,
    )
    radii = species.trunk * height * (1 - 0.85 * share) * (1 + 0.6 * np.exp(-share * 14))
    bark = linear(*species.bark)[None]
    woods = [tubes(stem, 2 * steps, radii[None], bark, sides=9)]
    at = np.sort(random.uniform(species.bare, 0.98, species.branches))
    number = np.minimum((at * (2 * steps - 1)).round().astype(int), 2 * steps - 1)
    blend = (at - species.bare) / (1 - species.bare)
    lengths = height * np.interp(blend, [0, 0.35, 1], [species.reach[0] * 0.9, species.reach[0], species.reach[1]])
    lengths = lengths * np.exp(random.normal(0, 0.15, species.branches))
    angle = np.arange(species.branches) * 2.399 + random.normal(0, 0.3, species.branches)
    rise = np.interp(blend, [0, 1], species.rise) + random.normal(0, 0.12, species.branches)
    axes = unit(np.stack([np.cos(angle), np.sin(angle), rise], axis=1))
    limbs = branching(
        stem[number],
        axes,
        lengths,
        oscillators,
        random,
        level=BRANCH,
        frequency=frequency * 2,
        hang=0.02,
        crooked=species.crooked,
        tip=0.05,
    )
    thin = species.trunk * lengths[:, None] * np.linspace(0.55, 0.08, steps)
    woods.append(tubes(limbs, steps, thin, np.broadcast_to(bark, (species.branches, 3)), sides=5))
    return with_twigs(species, limbs, lengths, woods, oscillators, random, height=height, foot=float(root[2]))


def with_twigs(
    species: TreeSpecies,
    limbs: Nodes,
    lengths: np.ndarray,
    woods: list[Mesh],
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    height: float = 1.0,
    foot: float = 1.0,
) -> Wood:
    """Twigs on branches.

    Args:
        limbs: N * STEPS nodes of the branches.
        lengths: [N], of the branches.
        woods: meshes of what they grow on, to which the twigs' are added.
        height: of the tree in metres, by which leaves are sized; 1 for a branch alone, as is ``foot``.
        foot: height of the tree's foot.
    """
    count, each, steps = len(lengths), species.twigs, STEPS
    which = np.repeat(np.arange(count), each)
    along = np.clip(np.tile((np.arange(each) + 0.6) / each, count) + random.normal(0, 0.06, count * each), 0.12, 1)
    number = np.minimum((along * (steps - 1)).round().astype(int), steps - 1)
    paths = limbs.position.reshape(count, steps, 3)
    axis = unit(paths[:, -1] - paths[:, 0])[which]
    side, up = sideways(axis, np.broadcast_to([0, 0, 1.0], axis.shape))
    sign = np.where(np.arange(count * each) % 2, 1.0, -1.0)[:, None]
    axes = (
        0.7 * axis
        + sign * side * random.uniform(0.5, 1.1, (count * each, 1))
        + up * random.normal(0.05, 0.3, (count * each, 1))
    )
    sizes = species.twig * lengths[which] * (1.15 - 0.5 * along) * np.exp(random.normal(0, 0.2, count * each))
    twigs = branching(
        limbs[which * steps + number],
        unit(axes),
        sizes,
        oscillators,
        random,
        level=TWIG,
        frequency=1.7,
        hang=species.hang,
        crooked=species.crooked,
        tip=0.07,
    )
    thin = 0.35 * species.trunk * sizes[:, None] * np.linspace(1.0, 0.2, steps)
    bark = np.broadcast_to(linear(*species.bark) * 0.8, (len(sizes), 3))
    woods.append(tubes(twigs, steps, thin, bark, sides=3))
    high = (twigs.position.reshape(-1, steps, 3)[:, 0, 2] - foot) / height
    return Wood(merge(woods), twigs, np.full(len(sizes), height), high)


def branching(
    roots: Nodes,
    axes: np.ndarray,
    lengths: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    level: int,
    frequency: float,
    hang: float,
    crooked: float,
    tip: float,
) -> Nodes:
    """Branches [N * STEPS] from N nodes along ``axes`` [N, 3]; ``hang`` bends them down, ``tip`` is their sway."""
    share = np.linspace(0, 1, STEPS)[None, :, None]
    size = lengths[:, None, None]
    paths = roots.position[:, None] + size * share * axes[:, None] - size * hang * share**2 * np.array([0, 0, 1.0])
    bends = np.cumsum(random.normal(0, crooked / np.sqrt(STEPS), paths.shape), axis=1)
    paths = paths + 0.5 * (bends - bends[:, :1]) * size * share
    modes = swaying(oscillators, roots.position, random, frequency=frequency, damping=0.12)
    side, up = sideways(axes, np.broadcast_to([0, 0, 1.0], axes.shape))
    directions = np.stack([side, up], axis=1)
    tips = tip * lengths[:, None] * np.array([[1.0, 0.7]]) * np.exp(random.normal(0, 0.25, (len(lengths), 2)))
    return grow(roots, paths, level=level, modes=modes, directions=directions, tips=tips)


def foliage(
    wood: Wood,
    species: TreeSpecies,
    colors: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    share: float = 1.0,
    size: float = 1.0,
) -> Mesh:
    """Leaves on the twigs.

    Args:
        colors: [C, 3], of which each twig mixes two.
        share: of the leaves that are there.
    """
    twigs = len(wood.scale)
    each = max(1, round(species.leaves * share))
    which = np.repeat(np.arange(twigs), each)
    along = random.uniform(0.15, 1.0, len(which))
    low = np.minimum((along * (STEPS - 1)).astype(int), STEPS - 2)
    at = wood.twigs[which * STEPS + low]
    ahead = wood.twigs.position[which * STEPS + low + 1] - at.position
    offset = ahead * ((along * (STEPS - 1)) % 1)[:, None]
    axes = unit(ahead) + 1.1 * random.normal(size=at.position.shape) * [1, 1, 0.7] - 0.35 * UP
    normals = np.array([0, 0, 1.0]) + 0.55 * random.normal(size=at.position.shape)
    lengths = size * species.leaf * wood.scale[which] * np.exp(random.normal(0, 0.2, len(which)))
    base = colors[random.integers(0, len(colors), twigs)]
    shade = tinted(np.ones(3), len(which), random, spread=0.16) * base[which]
    sun = np.clip(0.75 + 0.5 * wood.height[which], 0.7, 1.15)[:, None]
    groups = fluttering(oscillators, wood.twigs.position[::STEPS], random, angle=0.14, frequency=2.4)
    flutter = (groups[0][which], groups[1][which], groups[2])
    return leaves(at, axes, normals, lengths, shade * sun, random, shape=species.shape, flutter=flutter, offset=offset)


def blossoms(wood: Wood, species: Species, random: np.random.Generator, *, each: int, scale: float) -> Mesh:
    """Blossoms on the twigs, ``each`` of them on one; ``scale`` multiplies the species' size."""
    twigs = len(wood.scale)
    which = np.repeat(np.arange(twigs), each)
    along = np.minimum(random.integers(0, STEPS, len(which)), STEPS - 1)
    at = wood.twigs[which * STEPS + along]
    looks = unit(random.normal(size=(len(which), 3)) + np.array([0, -0.4, 0.5]))
    colors = np.stack([linear(*color) for color in species.colors])[random.integers(0, len(species.colors), len(which))]
    sizes = scale * np.exp(random.normal(0, 0.15, len(which)))
    offset = looks * 0.5 * species.length * sizes[:, None]
    return rosette(species, at, looks, sizes, colors, random, offset=offset)
