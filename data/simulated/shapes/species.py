"""Flowers as numbers: petals, hearts, stems and leaves of the species."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.simulated.shapes.foliage import LeafShape


@dataclass(frozen=True, kw_only=True)
class Species:
    """How a flower looks."""

    petals: int = 16
    rows: int = 1
    length: float = 0.03  # of a petal, metres
    shape: LeafShape = field(default_factory=lambda: LeafShape(outline="ray", width=0.2, fold=0.1, droop=0.1))
    opening: float = 1.25  # radians between the stem and the petals: 0 is closed, above pi / 2 they hang
    colors: tuple[tuple[int, int, int], ...] = ((240, 240, 235),)  # sRGB
    heart: float = 0.012  # radius of the disc in the middle, metres
    heart_color: tuple[int, int, int] = (200, 150, 30)
    heart_height: float = 0.5  # as a share of its radius
    stem: float = 0.35  # metres
    stem_radius: float = 0.0022
    leaf: float = 0.09  # length of the leaves at the stem
    leaves: int = 5
    leaf_shape: LeafShape = field(default_factory=lambda: LeafShape(outline="lanceolate", width=0.16, droop=0.4))
    nod: float = 0.35  # how far heads look away from the vertical, radians
    spike: int = 0  # small heads along the upper stem, instead of one at its end


SPECIES = {
    "daisy": Species(),
    "marguerite": Species(petals=22, length=0.035, heart=0.011, stem=0.5, leaf=0.07),
    "cosmos": Species(
        petals=8,
        length=0.042,
        shape=LeafShape(outline="petal", width=0.33, fold=0.05, droop=0.12, wave=0.02),
        colors=((214, 110, 165), (235, 190, 215), (240, 235, 238), (160, 40, 95)),
        heart=0.008,
        stem=0.6,
        leaf=0.06,
        leaf_shape=LeafShape(outline="lanceolate", width=0.07, droop=0.2),
        leaves=9,
    ),
    "poppy": Species(
        petals=5,
        rows=1,
        length=0.045,
        opening=0.95,
        shape=LeafShape(outline="petal", width=0.62, fold=0.35, droop=-0.1, wave=0.05, across=5),
        colors=((196, 38, 24), (205, 60, 30), (178, 30, 30)),
        heart=0.008,
        heart_color=(40, 45, 30),
        heart_height=1.0,
        stem=0.5,
        leaf=0.08,
        leaf_shape=LeafShape(outline="lobed", width=0.22, droop=0.5),
        stem_radius=0.0016,
    ),
    "tulip": Species(
        petals=6,
        length=0.058,
        opening=0.3,
        rows=1,
        shape=LeafShape(outline="petal", width=0.42, fold=0.45, droop=-0.25, across=5),
        colors=((188, 40, 52), (226, 170, 60), (214, 120, 140), (120, 50, 110), (235, 225, 210)),
        heart=0.006,
        stem=0.38,
        stem_radius=0.0045,
        leaf=0.24,
        leaves=3,
        nod=0.12,
        leaf_shape=LeafShape(outline="lanceolate", width=0.14, fold=0.6, droop=0.35),
    ),
    "rudbeckia": Species(
        petals=13,
        length=0.04,
        shape=LeafShape(outline="ray", width=0.17, fold=0.2, droop=0.3),
        opening=1.5,
        colors=((224, 168, 36), (214, 150, 30)),
        heart=0.014,
        heart_color=(52, 34, 24),
        heart_height=1.1,
        stem=0.6,
        leaf_shape=LeafShape(outline="ovate", width=0.24, droop=0.4),
    ),
    "sunflower": Species(
        petals=26,
        rows=2,
        length=0.1,
        shape=LeafShape(outline="ray", width=0.17, fold=0.2, droop=0.12, wave=0.02),
        colors=((226, 170, 40), (220, 155, 30)),
        heart=0.085,
        heart_color=(70, 46, 24),
        heart_height=0.28,
        stem=1.5,
        stem_radius=0.014,
        leaf=0.24,
        leaves=8,
        nod=1.0,
        leaf_shape=LeafShape(outline="heart", width=0.42, droop=0.35, wave=0.03, across=5),
    ),
    "cornflower": Species(
        petals=12,
        rows=2,
        length=0.02,
        opening=0.9,
        colors=((70, 90, 190), (95, 100, 200), (120, 90, 180)),
        shape=LeafShape(outline="petal", width=0.3, fold=0.3, droop=0.0),
        heart=0.006,
        heart_color=(70, 40, 110),
        stem=0.45,
        leaf_shape=LeafShape(outline="lanceolate", width=0.06, droop=0.3),
        leaf=0.1,
        leaves=6,
    ),
    "buttercup": Species(
        petals=5,
        length=0.014,
        opening=0.95,
        shape=LeafShape(outline="petal", width=0.5, fold=0.4, droop=-0.1),
        colors=((230, 196, 40),),
        heart=0.004,
        heart_color=(190, 160, 40),
        stem=0.4,
        leaf=0.05,
        leaf_shape=LeafShape(outline="lobed", width=0.3, droop=0.3),
    ),
    "peony": Species(
        petals=34,
        rows=4,
        length=0.055,
        opening=0.95,
        nod=0.5,
        shape=LeafShape(outline="petal", width=0.45, fold=0.4, droop=-0.28, wave=0.06, across=5),
        colors=((222, 150, 170), (236, 214, 214), (190, 60, 100)),
        heart=0.006,
        stem=0.55,
        stem_radius=0.004,
        leaf=0.13,
        leaf_shape=LeafShape(outline="ovate", width=0.22, droop=0.35),
        leaves=9,
    ),
    "lavender": Species(
        petals=3,
        length=0.015,
        spike=15,
        opening=0.8,
        colors=((112, 92, 170), (130, 110, 180), (95, 80, 150)),
        shape=LeafShape(outline="petal", width=0.45, fold=0.0, across=2),
        heart=0.0,
        stem=0.5,
        leaf=0.05,
        leaves=3,
        leaf_shape=LeafShape(outline="lanceolate", width=0.08, droop=0.1),
        stem_radius=0.0012,
    ),
    "lupin": Species(
        petals=5,
        length=0.017,
        spike=44,
        opening=0.9,
        colors=((150, 110, 190), (215, 140, 180), (235, 225, 215), (90, 90, 170)),
        shape=LeafShape(outline="petal", width=0.5, fold=0.5, droop=-0.2),
        heart=0.0,
        stem=0.75,
        leaf=0.11,
        leaves=14,
        leaf_shape=LeafShape(outline="lanceolate", width=0.16, droop=0.2),
        stem_radius=0.004,
    ),
    "allium": Species(
        petals=150,
        rows=1,
        length=0.04,
        opening=1.6,
        colors=((150, 110, 180), (225, 220, 225), (170, 130, 190)),
        shape=LeafShape(outline="needle", width=0.05, fold=0.0, droop=0.0, across=2),
        heart=0.0,
        stem=0.7,
        leaf=0.25,
        leaves=4,
        leaf_shape=LeafShape(outline="blade", width=0.05, droop=0.8),
        stem_radius=0.003,
        nod=0.05,
    ),
}


BLOSSOM = Species(
    petals=5,
    length=0.014,
    opening=1.15,
    shape=LeafShape(outline="petal", width=0.52, fold=0.25, droop=-0.1),
    colors=((238, 205, 214), (244, 232, 234), (226, 160, 184)),
    heart=0.0,
)
