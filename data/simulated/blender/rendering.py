"""Render settings, camera and passes: a folder with a description becomes one EXR file for each shot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from data.simulated.blender.lighting import add_lamps, placed, set_world
from data.simulated.blender.objects import add_thing, set_channels, set_vertices

LAYER = "ViewLayer"


def render_shots(folder: Path) -> None:
    """Build the scene that ``scene.json`` and ``arrays.npz`` describe, and write ``<shot>.exr`` for each of its shots.

    The file of a shot holds, as uncompressed floats, the denoised picture ``Combined`` in linear light and, three to a
    pass, the channels ``c0``, ``c1``, … that the vertices carry.
    """
    import bpy

    described: dict[str, Any] = json.loads((folder / "scene.json").read_text(encoding="utf-8"))
    arrays = np.load(folder / "arrays.npz", allow_pickle=False)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    _set_up(scene, described)
    _add_camera(scene, described)
    set_world(scene, described["world"])
    add_lamps(scene, described["lamps"])
    most = max(shot["passes"] for shot in described["shots"])
    things = [add_thing(scene, number, thing, arrays, passes=most) for number, thing in enumerate(described["things"])]
    for shot in described["shots"]:
        _declare_passes(scene, shot["passes"])
        for number, thing in enumerate(things):
            if not shot["rest"]:
                set_vertices(thing, arrays, f"{number}.{shot['name']}.vertices")
            set_channels(thing, arrays, f"{number}.{shot['name']}.channels")
        scene.cycles.seed = shot["seed"]
        scene.render.filepath = str(folder / f"{shot['name']}.exr")
        bpy.ops.render.render(write_still=True)


def _set_up(scene: Any, described: dict[str, Any]) -> None:
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = described["size"]
    scene.render.resolution_percentage = 100
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.use_persistent_data = False
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    scene.render.image_settings.exr_codec = "NONE"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = described["samples"]
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces = described["bounces"], described["bounces"]
    cycles.glossy_bounces, cycles.transmission_bounces = 2, 3
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    cycles.use_light_tree = False
    cycles.filter_width = 1.2


def _declare_passes(scene: Any, count: int) -> None:
    layer = scene.view_layers[0]
    layer.name = LAYER
    while len(layer.aovs) > count:
        layer.active_aov_index = len(layer.aovs) - 1
        layer.aovs.remove(layer.aovs[-1])
    while len(layer.aovs) < count:
        aov = layer.aovs.add()
        aov.name, aov.type = f"c{len(layer.aovs) - 1}", "COLOR"


def _add_camera(scene: Any, described: dict[str, Any]) -> None:
    import bpy

    camera = described["camera"]
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = camera["lens"]
    data.clip_start, data.clip_end = 0.01, 5000.0
    if camera["fstop"]:
        data.dof.use_dof = True
        data.dof.focus_distance, data.dof.aperture_fstop = camera["focus"], camera["fstop"]
        data.dof.aperture_blades = camera["blades"]
    thing = bpy.data.objects.new("camera", data)
    thing.matrix_world = placed(np.array(camera["axes"]), camera["position"])
    scene.collection.objects.link(thing)
    scene.camera = thing
