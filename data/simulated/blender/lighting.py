"""Sky, clouds and lamps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data.simulated.blender.materials import Graph


def set_world(scene: Any, described: Mapping[str, Any]) -> None:
    """What surrounds the scene: a sky of the Nishita model, with clouds, or a plain gradient."""
    import bpy

    world = bpy.data.worlds.new("world")
    scene.world = world
    world.use_nodes = True
    graph = Graph(world.node_tree)
    direction = graph.node("TexCoord").outputs["Generated"]
    color = _sky(graph, described) if described["kind"] == "sky" else _gradient(graph, direction, described)
    if described["clouds"]:
        color = _clouded(graph, direction, color, described)
    background = graph.node("Background", {"Color": color, "Strength": described["strength"]}).outputs[0]
    graph.node("OutputWorld", {"Surface": background})
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 128


def _sky(graph: Graph, described: Mapping[str, Any]):
    node = graph.node("TexSky", sky_type="NISHITA", sun_disc=False)
    node.sun_elevation, node.sun_rotation = described["elevation"], described["azimuth"]
    node.air_density, node.dust_density, node.ozone_density = described["air"], described["dust"], 1.0
    return node.outputs[0]


def _gradient(graph: Graph, direction: Any, described: Mapping[str, Any]):
    height = graph.node("SeparateXYZ", {0: direction}).outputs[2]
    share = graph.node("MapRange", {0: height, 1: -0.1, 2: 0.7}).outputs[0]
    return graph.mixed("MIX", share, (*described["horizon"], 1.0), (*described["zenith"], 1.0))


def _clouded(graph: Graph, direction: Any, color: Any, described: Mapping[str, Any]):
    """Clouds as noise on a plane far above, thinner towards the zenith of the picture."""
    parts = graph.node("SeparateXYZ", {0: direction}).outputs
    height = graph.math("MAXIMUM", graph.math("ADD", parts[2], 0.12), 0.03)
    plane = graph.node(
        "CombineXYZ", {0: graph.math("DIVIDE", parts[0], height), 1: graph.math("DIVIDE", parts[1], height)}
    ).outputs[0]
    place = graph.node("Mapping", {"Vector": plane, "Location": described["cloud_place"]}).outputs[0]
    inputs = {"Vector": place, "Scale": described["cloud_scale"], "Detail": 8.0, "Roughness": 0.58, "Distortion": 0.3}
    noise = graph.node("TexNoise", inputs).outputs[0]
    cover = 0.68 - 0.36 * described["clouds"]
    share = graph.node("MapRange", {0: noise, 1: cover, 2: cover + described["cloud_softness"]}).outputs[0]
    share = graph.math("MULTIPLY", share, 0.92)
    shade = graph.node("MapRange", {0: noise, 1: cover, 2: cover + 0.35, 3: 1.0, 4: 0.62}).outputs[0]
    bright = described["cloud_brightness"]
    white = graph.node(
        "VectorMath", {0: tuple(bright * c for c in described["cloud_color"]), 3: shade}, operation="SCALE"
    )
    return graph.mixed("MIX", share, color, white.outputs[0])


def add_lamps(scene: Any, lamps: Iterable[Mapping[str, Any]]) -> None:
    """The sun, and lamps of a room."""
    import bpy

    for number, lamp in enumerate(lamps):
        data = bpy.data.lights.new(f"lamp{number}", lamp["kind"].upper())
        data.energy, data.color = lamp["strength"], lamp["color"]
        if lamp["kind"] == "sun":
            data.angle = math.radians(lamp["size"])
        elif lamp["kind"] == "area":
            data.size = lamp["size"]
        else:
            data.shadow_soft_size = lamp["size"]
        thing = bpy.data.objects.new(data.name, data)
        thing.matrix_world = placed(_looking_along(np.array(lamp["direction"], float)), lamp["position"])
        thing.visible_camera = False
        scene.collection.objects.link(thing)


def placed(axes: np.ndarray, position: Sequence[float]) -> list[list[float]]:
    """The matrix of an object whose x, y and z are the rows of ``axes``, as Blender takes it."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes.T, position
    return matrix.T.tolist()  # Blender takes it column by column


def _looking_along(direction: np.ndarray) -> np.ndarray:
    """Right, up and backward [3, 3] of a lamp that shines this way."""
    back = -direction / np.linalg.norm(direction)
    right = np.cross((0.0, 0.0, 1.0) if abs(back[2]) < 0.99 else (0.0, 1.0, 0.0), back)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])
