"""Meshes: vertices, faces and what each vertex carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.simulated.blender.materials import make_material


def add_thing(scene: Any, number: int, described: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, passes: int):
    """A mesh of quadrilaterals and triangles with colours and rest positions, made and linked: a Blender object."""
    import bpy

    vertices, quads, triangles = (arrays[f"{number}.{part}"] for part in ("vertices", "quads", "triangles"))
    mesh = bpy.data.meshes.new(f"thing{number}")
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    corners = np.concatenate([quads.ravel(), triangles.ravel()]).astype(np.int32)
    sizes = np.concatenate([np.full(len(quads), 4, np.int32), np.full(len(triangles), 3, np.int32)])
    mesh.loops.add(len(corners))
    mesh.loops.foreach_set("vertex_index", corners)
    mesh.polygons.add(len(sizes))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(sizes) - sizes).astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.full(len(sizes), described["smooth"], bool))
    mesh.update(calc_edges=True)
    _set_vectors(mesh, "tint", arrays[f"{number}.colors"])
    _set_vectors(mesh, "rest", vertices)
    uvs = arrays[f"{number}.uvs"]
    _set_vectors(mesh, "position_on", np.concatenate([uvs, np.zeros((len(uvs), 1), np.float32)], axis=1))
    mesh.materials.append(make_material(f"material{number}", described["material"], passes=passes))
    thing = bpy.data.objects.new(mesh.name, mesh)
    thing.visible_shadow = described["shadow"]
    scene.collection.objects.link(thing)
    return thing


def set_vertices(thing: Any, arrays: Mapping[str, np.ndarray], name: str) -> None:
    """Move the vertices of a mesh to where the array says, if there is one."""
    if name in arrays:
        thing.data.vertices.foreach_set("co", arrays[name].ravel())
        thing.data.update()


def set_channels(thing: Any, arrays: Mapping[str, np.ndarray], name: str) -> None:
    """Give the vertices of a mesh their channels [V, C], three to an attribute."""
    channels = arrays[name]
    padded = np.pad(channels, ((0, 0), (0, -channels.shape[1] % 3)))
    for number in range(padded.shape[1] // 3):
        _set_vectors(thing.data, f"c{number}", padded[:, 3 * number : 3 * number + 3])
    thing.data.update()


def _set_vectors(mesh: Any, name: str, values: np.ndarray) -> None:
    attribute = mesh.attributes.get(name) or mesh.attributes.new(name, "FLOAT_VECTOR", "POINT")
    attribute.data.foreach_set("vector", np.ascontiguousarray(values, np.float32).ravel())
