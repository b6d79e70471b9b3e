"""All kinds of scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import (
    branches,
    closeups,
    cloths,
    facades,
    flags,
    flames,
    hanging,
    meadows,
    rooms,
    still,
    streets,
    woods,
)


@dataclass(frozen=True)
class Kind:
    """A kind of scene."""

    build: Callable[[np.random.Generator], Scene]
    weight: float = 1.0  # how often it is drawn
    still: bool = False  # nothing in it moves


KINDS: dict[str, Kind] = {
    "closeup_flower": Kind(closeups.closeup_flower, 2.0),
    "blossom_branch": Kind(branches.blossom_branch, 1.6),
    "meadow": Kind(meadows.meadow, 1.3),
    "flower_bed": Kind(meadows.flower_bed, 1.2),
    "grass_macro": Kind(meadows.grass_macro, 1.2),
    "wheat": Kind(meadows.wheat),
    "reeds": Kind(meadows.reeds),
    "lavender": Kind(meadows.lavender, 0.6),
    "sunflowers": Kind(meadows.sunflowers, 0.6),
    "whole_tree": Kind(woods.whole_tree),
    "crown_sky": Kind(woods.crown_sky, 1.2),
    "bush": Kind(branches.bush),
    "ivy_wall": Kind(woods.ivy_wall, 0.8),
    "street_trees": Kind(streets.street_trees),
    "garden_house": Kind(streets.garden_house),
    "flag": Kind(flags.flag, 1.2),
    "hanging_sign": Kind(facades.hanging_sign, 0.8),
    "window_box": Kind(facades.window_box, 0.8),
    "laundry": Kind(cloths.laundry, 1.1),
    "pennants": Kind(cloths.pennants, 0.7),
    "lanterns": Kind(hanging.lanterns),
    "hanging_basket": Kind(hanging.hanging_basket, 0.8),
    "bauble": Kind(hanging.bauble, 0.7),
    "pot_room": Kind(rooms.pot_room, 1.3),
    "curtain": Kind(rooms.curtain, 0.9),
    "candles": Kind(flames.candles, 1.5),
    "still_life": Kind(still.still_life, 1.0, still=True),
    "furniture": Kind(still.furniture, 0.9, still=True),
    "houses": Kind(streets.houses, 1.2, still=True),
    "parked_cars": Kind(streets.parked_cars, 0.9, still=True),
    "walls": Kind(facades.walls, 0.9, still=True),
    "rocks": Kind(still.rocks, 1.0, still=True),
    "lake": Kind(still.lake, 0.9, still=True),
    "courtyard": Kind(still.courtyard, 0.9, still=True),
}


def still_share() -> float:
    """How many of the scenes have nothing that moves."""
    total = sum(kind.weight for kind in KINDS.values())
    return sum(kind.weight for kind in KINDS.values() if kind.still) / total
