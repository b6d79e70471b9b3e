"""A simulated sequence in memory: a scene, its exact motion, and pictures of it at rest and at some later times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.flow.consistency import ABSOLUTE, RELATIVE
from data.simulated.description import Scene, Shot
from data.simulated.options import SAMPLES, SUPERSAMPLING
from data.simulated.renderer import Renderer
from data.simulated.sensor import draw_sensor
from data.simulated.volume import ALWAYS, View, coefficients, depth_and_cover, flow_between, low_rank
from data.simulated.wind import draw_wind

PROBED = 3000  # vertices by which the amplitude is set
LARGEST = 0.06  # of the width, the root mean square displacement of what moves most
STRONG = 85  # percentile of the vertices' amplitudes that the drawn amplitude refers to


@dataclass(frozen=True)
class Timing:
    """What a sequence is in time."""

    num_frames: int
    fps: float
    num_frequencies: int


@dataclass(frozen=True)
class SimulatedSequence:
    """What is known of T frames. Displacements are in pixels of the pictures, x right and y down."""

    first_frame: np.ndarray  # uint8 [H, W, 3]
    spectral_volume: np.ndarray  # float32 [K, 4, H, W], of the motion of all T frames
    depth: np.ndarray  # float32 [H, W], metres to what the first frame shows, 0 for the sky
    frame_indices: np.ndarray  # int32 [M], t of the later frames
    frames: np.ndarray  # uint8 [M, H, W, 3]
    flows: np.ndarray  # float32 [M, H, W, 2], from the first frame to each of them
    backward_flows: np.ndarray  # float32 [M, H, W, 2], back, of what the later frame shows
    depths: np.ndarray  # float32 [M, H, W], of the later frames
    hidden: np.ndarray  # bool [M, H, W], what of the first frame is hidden, or outside, in the later one
    rank: int  # channels that carry the volume
    seconds: float  # of the processor, in Blender


def simulate(
    scene: Scene,
    random: np.random.Generator,
    renderer: Renderer,
    *,
    timing: Timing,
    size: tuple[int, int],
    frame_indices: np.ndarray,
) -> SimulatedSequence:
    """Set a scene in motion and render it.

    Args:
        random: of wind, noise of the light paths and camera.
        size: (width, height).
        frame_indices: int [M], later frames to render, 1 to T - 1.

    Raises:
        ValueError: Blender fails on this scene; one line.
    """
    view = View(scene.camera, size)
    series = scaled_series(scene, view, random, timing)
    fields = [coefficients(view, thing.mesh, series, num_frequencies=timing.num_frequencies) for thing in scene.things]
    basis, shapes = low_rank(fields)
    shots = _shots(scene, view, series, shapes, frame_indices, random)
    rendered = (round(SUPERSAMPLING * size[0]), round(SUPERSAMPLING * size[1]))
    pictures, seconds = renderer.render(scene, shots, size=rendered, samples=SAMPLES)
    passes = [_averaged(picture.channels, size) for picture in pictures]
    lights = [_averaged(picture.light, size) for picture in pictures]
    sensor = draw_sensor(lights[0], scene.brightness, random)
    frames = np.stack([sensor.develop(light, random) for light in lights])
    rest, later = passes[0], np.stack(passes[1:]) if len(passes) > 1 else np.zeros((0, *size[::-1], 5), np.float32)
    rank, flow_start = len(basis), ALWAYS + len(basis)
    volume = (rest[..., ALWAYS:flow_start] @ basis).reshape(*rest.shape[:2], timing.num_frequencies, 4)
    flows = rest[..., flow_start : flow_start + 2 * len(frame_indices)]
    flows = np.moveaxis(flows.reshape(*rest.shape[:2], len(frame_indices), 2), 2, 0)
    backward = later[..., ALWAYS : ALWAYS + 2]
    hidden = [hidden_pixels(there, back) for there, back in zip(flows, backward, strict=True)]
    return SimulatedSequence(
        first_frame=frames[0],
        spectral_volume=np.ascontiguousarray(volume.transpose(2, 3, 0, 1)),
        depth=_depth(rest),
        frame_indices=np.asarray(frame_indices, np.int32),
        frames=frames[1:],
        flows=flows,
        backward_flows=backward,
        depths=_depth(later),
        hidden=np.stack(hidden) if hidden else np.zeros((0, *size[::-1]), bool),
        rank=rank,
        seconds=seconds,
    )


def scaled_series(scene: Scene, view: View, random: np.random.Generator, timing: Timing) -> np.ndarray:
    """The oscillators' values float32 [M, T], scaled so that what moves does so by the amplitude that is drawn."""
    wind = draw_wind(
        random,
        num_frames=timing.num_frames,
        fps=timing.fps,
        num_frequencies=timing.num_frequencies,
        extent=scene.extent,
    )
    series = wind.series(scene.oscillators, random)
    median, spread = scene.amplitude
    wanted = median * np.exp(random.normal(0, spread)) * view.size[0] / 256
    measured = []
    for thing in scene.things:
        if not thing.mesh.still:
            near = np.flatnonzero(view.near(thing.mesh))
            probed = near[:: max(1, len(near) * len(scene.things) // PROBED)]
            paths = view.displacement(thing.mesh, series, probed)
            measured.append(np.sqrt(paths.var(axis=2).sum(axis=1)))
    amplitudes = np.concatenate(measured) if measured else np.zeros(0)
    amplitudes = amplitudes[amplitudes > 0]
    if not len(amplitudes):
        return series
    factor = wanted / np.percentile(amplitudes, STRONG)
    return series * min(factor, LARGEST * view.size[0] / np.percentile(amplitudes, 99.5))


def _shots(
    scene: Scene,
    view: View,
    series: np.ndarray,
    shapes: Sequence[np.ndarray],
    frame_indices: np.ndarray,
    random: np.random.Generator,
) -> list[Shot]:
    """The shot at rest with the channels of the volume and the flows, and a shot a later frame with the flow back."""
    meshes = [thing.mesh for thing in scene.things]
    always = [depth_and_cover(view, mesh.vertices) for mesh in meshes]
    flows = [[flow_between(view, mesh, series[:, t]) for t in frame_indices] for mesh in meshes]
    at_rest = [
        basic if mesh.still else np.concatenate([basic, shape, *there], axis=1)
        for mesh, basic, shape, there in zip(meshes, always, shapes, flows, strict=True)
    ]
    width = ALWAYS + shapes[0].shape[1] + 2 * len(frame_indices) if shapes else ALWAYS
    at_rest[0] = np.pad(at_rest[0], ((0, 0), (0, width - at_rest[0].shape[1])))
    shots = [Shot("rest", at_rest, seed=int(random.integers(1 << 30)))]
    for number, t in enumerate(frame_indices):
        vertices = [None if mesh.still else mesh.displaced(series[:, t]) for mesh in meshes]
        channels = [
            np.concatenate([depth_and_cover(view, mesh.vertices if there is None else there), -flow[number]], axis=1)
            for mesh, there, flow in zip(meshes, vertices, flows, strict=True)
        ]
        shots.append(Shot(f"frame{t}", channels, vertices, seed=int(random.integers(1 << 30))))
    return shots


def hidden_pixels(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Which pixels of the first frame are not seen in the later one, bool [H, W], by the exact flows there and back.

    A pixel is seen where the flow back from where it goes leads to it again, with the tolerance of Sundaram et al.
    2010, Eq. 5.
    """
    import cv2

    height, width = forward.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + forward[..., 0], y + forward[..., 1]
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    back = cv2.remap(np.ascontiguousarray(backward), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = ((forward + back) ** 2).sum(axis=-1)
    return outside | (error > RELATIVE * ((forward**2).sum(axis=-1) + (back**2).sum(axis=-1)) + ABSOLUTE)


def _depth(passes: np.ndarray) -> np.ndarray:
    """Mean depth of what a pixel shows besides the sky."""
    return passes[..., 0] / np.maximum(passes[..., 1], 1e-6)


def _averaged(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture [h, w, C] averaged down to (width, height)."""
    import cv2

    parts = [
        np.atleast_3d(
            cv2.resize(np.ascontiguousarray(picture[..., start : start + 4]), size, interpolation=cv2.INTER_AREA)
        )
        for start in range(0, picture.shape[2], 4)
    ]
    return np.concatenate(parts, axis=2)
