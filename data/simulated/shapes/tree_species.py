"""Trees as numbers: how the species branch, and their leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.simulated.shapes.foliage import LeafShape


@dataclass(frozen=True, kw_only=True)
class TreeSpecies:
    """How a tree grows."""

    branches: int = 26
    twigs: int = 9  # of a branch
    leaves: int = 32  # of a twig
    leaf: float = 0.028  # length as a share of the tree's height
    bare: float = 0.25  # share of the trunk without branches
    rise: tuple[float, float] = (0.1, 1.1)  # of branches low and high on the trunk, over their length
    reach: tuple[float, float] = (0.42, 0.14)  # length of branches low and high, as a share of the height
    hang: float = 0.1  # how far twigs hang down
    twig: float = 0.36  # length as a share of the branch
    trunk: float = 0.022  # radius as a share of the height
    shape: LeafShape = field(default_factory=lambda: LeafShape(outline="ovate", width=0.36, across=2, droop=0.2))
    bark: tuple[int, int, int] = (98, 84, 70)
    crooked: float = 0.12


TREES = {
    "oak": TreeSpecies(branches=24, rise=(0.2, 0.9), reach=(0.46, 0.22), trunk=0.03, crooked=0.2),
    "lime": TreeSpecies(
        branches=34, bare=0.18, reach=(0.36, 0.13), shape=LeafShape(outline="heart", width=0.42, across=2)
    ),
    "birch": TreeSpecies(
        branches=30,
        bare=0.25,
        rise=(0.6, 1.6),
        reach=(0.26, 0.1),
        hang=0.9,
        trunk=0.013,
        leaf=0.022,
        bark=(196, 190, 180),
        twigs=8,
        crooked=0.08,
    ),
    "willow": TreeSpecies(
        branches=22,
        bare=0.3,
        rise=(0.9, 1.5),
        reach=(0.34, 0.25),
        hang=2.6,
        twig=1.1,
        twigs=9,
        leaves=44,
        leaf=0.024,
        shape=LeafShape(outline="lanceolate", width=0.11, across=2),
    ),
    "poplar": TreeSpecies(branches=46, bare=0.08, rise=(2.4, 3.0), reach=(0.2, 0.1), twigs=6, trunk=0.014, leaf=0.022),
    "maple": TreeSpecies(
        branches=28, reach=(0.4, 0.2), shape=LeafShape(outline="lobed", width=0.48, across=2), leaf=0.034
    ),
    "fir": TreeSpecies(
        branches=70,
        bare=0.06,
        rise=(-0.25, 0.35),
        reach=(0.32, 0.04),
        twigs=9,
        leaves=40,
        leaf=0.013,
        twig=0.32,
        shape=LeafShape(outline="needle", width=0.07, across=2, fold=0.0, droop=0.05),
        trunk=0.015,
        crooked=0.04,
        hang=0.25,
    ),
}
