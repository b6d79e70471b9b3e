"""Procedural materials: vertex colours, varied by noise and patterns that stick to the rest position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Graph:
    """The nodes of a material, made and linked in short phrases."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        tree.nodes.clear()

    def node(self, kind: str, inputs: Mapping[Any, Any] | None = None, **settings: Any):
        """A node with its settings; inputs are values, or outputs of other nodes, which are linked."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for name, value in (inputs or {}).items():
            if hasattr(value, "links"):
                self.tree.links.new(value, node.inputs[name])
            else:
                node.inputs[name].default_value = value
        return node

    def attribute(self, name: str):
        """What the vertices carry under a name: a vector."""
        return self.node("Attribute", attribute_name=name).outputs["Vector"]

    def mixed(self, kind: str, factor: Any, first: Any, second: Any):
        """Two colours blended."""
        node = self.node("Mix", data_type="RGBA", blend_type=kind, clamp_factor=True)
        for socket, value in ((node.inputs[0], factor), (node.inputs[6], first), (node.inputs[7], second)):
            if hasattr(value, "links"):
                self.tree.links.new(value, socket)
            else:
                socket.default_value = value
        return node.outputs[2]

    def math(self, operation: str, first: Any, second: Any = 0.0):
        """A sum, product and so on of two numbers."""
        return self.node("Math", {0: first, 1: second}, operation=operation).outputs[0]


def make_material(name: str, described: Mapping[str, Any], *, passes: int):
    """A material of ``described`` (see `data.simulated.description.Material`), which also writes the channels."""
    import bpy

    material = bpy.data.materials.new(name)
    material.use_nodes = True
    graph = Graph(material.node_tree)
    color, height = _color(graph, described)
    inputs: dict[Any, Any] = {"Base Color": color, "Roughness": described["roughness"]}
    inputs |= {"Metallic": described["metallic"], "Specular IOR Level": described["specular"]}
    if described["emission"]:
        inputs |= {"Emission Color": color, "Emission Strength": described["emission"]}
    if described["bump"] and height is not None:
        bump = graph.node(
            "Bump", {"Strength": described["bump"], "Distance": described["bump_depth"], "Height": height}
        )
        inputs["Normal"] = bump.outputs["Normal"]
    surface = graph.node("BsdfPrincipled", inputs).outputs[0]
    if described["translucency"]:
        through = graph.node("BsdfTranslucent", {"Color": color}).outputs[0]
        surface = graph.node("MixShader", {0: described["translucency"], 1: surface, 2: through}).outputs[0]
    graph.node("OutputMaterial", {"Surface": surface})
    for number in range(passes):
        graph.node("OutputAOV", {"Color": graph.attribute(f"c{number}")}, aov_name=f"c{number}")
    return material


def _color(graph: Graph, described: Mapping[str, Any]):
    """(colour, height): the vertex colour with pattern and noise, and what the bumps follow."""
    color, height = graph.attribute("tint"), None
    if described["pattern"]:
        color, height = PATTERNS[described["pattern"]](graph, color, described)
    if described["noise"]:
        place = graph.node("Mapping", {"Vector": graph.attribute("rest"), "Scale": described["noise_scale"]})
        inputs = {"Vector": place.outputs[0], "Scale": 1.0, "Detail": 4.0, "Roughness": 0.65}
        noise = graph.node("TexNoise", inputs).outputs[0]
        span = described["noise"]
        bright = graph.math("ADD", graph.math("MULTIPLY", noise, 2 * span), 1.0 - span)
        color = graph.node("VectorMath", {0: color, 3: bright}, operation="SCALE").outputs[0]
        height = noise if height is None else height
    return color, height


def _bricks(graph: Graph, color: Any, described: Mapping[str, Any]):
    dark = graph.node("VectorMath", {0: color, 3: described["pattern_contrast"]}, operation="SCALE").outputs[0]
    inputs = {
        "Vector": graph.attribute("position_on"),
        "Color1": color,
        "Color2": dark,
        "Mortar": (*described["pattern_color"], 1.0),
        "Scale": 1.0,
        "Mortar Size": described["pattern_gap"],
        "Mortar Smooth": 0.2,
        "Brick Width": described["pattern_size"][0],
        "Row Height": described["pattern_size"][1],
    }
    node = graph.node("TexBrick", inputs, offset=described["pattern_offset"])
    return node.outputs[0], graph.math("SUBTRACT", 1.0, node.outputs[1])


def _grain(graph: Graph, color: Any, described: Mapping[str, Any]):
    """Wood: long waves along the first coordinate."""
    place = graph.node(
        "Mapping", {"Vector": graph.attribute("position_on"), "Scale": (*described["pattern_size"], 1.0)}
    )
    inputs = {"Vector": place.outputs[0], "Scale": 1.0, "Distortion": 6.0, "Detail": 3.0, "Detail Scale": 1.5}
    wave = graph.node("TexWave", inputs, bands_direction="Y").outputs[1]
    dark = graph.node("VectorMath", {0: color, 3: described["pattern_contrast"]}, operation="SCALE").outputs[0]
    return graph.mixed("MIX", wave, color, dark), wave


def _patches(graph: Graph, color: Any, described: Mapping[str, Any]):
    """Large soft patches of a second colour: lichen, worn paint, dry places on a lawn."""
    place = graph.node(
        "Mapping",
        {"Vector": graph.attribute("rest"), "Scale": (*described["pattern_size"], described["pattern_size"][0])},
    )
    noise = graph.node("TexNoise", {"Vector": place.outputs[0], "Scale": 1.0, "Detail": 6.0, "Roughness": 0.7}).outputs[
        0
    ]
    share = graph.node("MapRange", {0: noise, 1: 0.42, 2: 0.62}).outputs[0]
    return graph.mixed("MIX", share, color, (*described["pattern_color"], 1.0)), noise


def _cells(graph: Graph, color: Any, described: Mapping[str, Any]):
    """Stones and pebbles: cells of different brightness with dark gaps."""
    place = graph.node(
        "Mapping",
        {"Vector": graph.attribute("rest"), "Scale": (*described["pattern_size"], described["pattern_size"][0])},
    )
    edge = graph.node("TexVoronoi", {"Vector": place.outputs[0], "Scale": 1.0}, feature="DISTANCE_TO_EDGE").outputs[0]
    cell = graph.node("TexVoronoi", {"Vector": place.outputs[0], "Scale": 1.0}).outputs["Color"]
    gray = graph.node("RGBToBW", {0: cell}).outputs[0]
    bright = graph.math("ADD", graph.math("MULTIPLY", gray, described["pattern_contrast"]), 0.6)
    color = graph.node("VectorMath", {0: color, 3: bright}, operation="SCALE").outputs[0]
    stone = graph.node("MapRange", {0: edge, 1: 0.0, 2: described["pattern_gap"]}).outputs[0]
    return graph.mixed("MIX", stone, (*described["pattern_color"], 1.0), color), stone


PATTERNS = {"bricks": _bricks, "grain": _grain, "patches": _patches, "cells": _cells}
