"""Pictures of motion: the colour wheel, heat maps, X-t slices, contact sheets and a figure of a spectral volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Steps from each hue of the Middlebury wheel to the next (Baker et al., "A Database and Evaluation Methodology for
# Optical Flow", 2011): more steps where the eye tells more hues apart.
HUES = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255))
HUE_STEPS = (15, 6, 4, 11, 13, 6)

# Anchors of a perceptual heat map, black over purple and orange to pale yellow; lightness rises evenly along it.
HEAT_ANCHORS = (
    (0, 0, 4),
    (31, 12, 72),
    (85, 15, 109),
    (136, 34, 106),
    (186, 54, 85),
    (227, 89, 51),
    (249, 140, 10),
    (249, 201, 50),
    (252, 255, 164),
)
FIGURE_SIDE = 640  # a photo in a figure needs no more pixels on its long side


def color_wheel() -> np.ndarray:
    """The wheel's 55 colours, float [55, 3] in 0..255, from red over yellow, green and blue back to red."""
    parts = []
    for index, steps in enumerate(HUE_STEPS):
        here, there = np.array(HUES[index], float), np.array(HUES[(index + 1) % len(HUES)], float)
        ramp = np.arange(steps)[:, None] / steps
        parts.append(np.floor(here + (there - here) * ramp))
    return np.concatenate(parts)


def flow_to_color(flow: np.ndarray, max_magnitude: float | None = None) -> np.ndarray:
    """Colour-code a flow field: hue is direction, saturation is magnitude, white is no motion.

    Args:
        flow: float [H, W, 2] in pixels, x right and y down; NaN marks unknown and becomes black.
        max_magnitude: the magnitude shown in full saturation; larger ones are darkened. Default: the largest there is.

    Returns:
        uint8 RGB [H, W, 3].
    """
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"expected a flow field [H, W, 2], got shape {flow.shape}")
    unknown = ~np.isfinite(flow).all(axis=2)
    flow = np.where(unknown[..., None], 0.0, flow)
    magnitude = np.hypot(flow[..., 0], flow[..., 1])
    if max_magnitude is None:
        max_magnitude = float(magnitude.max())
    radius = (magnitude / max(max_magnitude, 1e-9))[..., None]
    wheel = color_wheel()
    position = (np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    lower = np.floor(position).astype(int)
    fraction = (position - lower)[..., None]
    color = (1 - fraction) * wheel[lower] + fraction * wheel[(lower + 1) % len(wheel)]
    # Rounded to 1e-6 so that a magnitude equal to the maximum isn't darkened by the last bit.
    color = np.where(radius <= 1 + 1e-6, 255 - radius * (255 - color), 0.75 * color)
    color[unknown] = 0
    return np.clip(color, 0, 255).astype(np.uint8)


def clipped_flow_color(flow: np.ndarray) -> tuple[np.ndarray, float]:
    """:func:`flow_to_color` up to the magnitude that 99.5 % of the pixels stay under: a wild pixel pales no others.

    Returns:
        uint8 RGB [H, W, 3], and the magnitude in pixels that is shown in full saturation, as all larger ones.
    """
    magnitude = np.hypot(flow[..., 0], flow[..., 1])[..., None]
    largest = max(float(np.percentile(magnitude, 99.5)), 1e-6)
    return flow_to_color(flow * np.minimum(1, largest / np.maximum(magnitude, 1e-9)), largest), largest


def wheel_picture(side: int) -> np.ndarray:
    """What the colours mean: a disc of displacements up to some length, uint8 RGBA [side, side, 4], clear around."""
    steps = np.linspace(-1, 1, side)
    disc = np.stack(np.meshgrid(steps, steps), axis=-1)
    inside = 255 * (np.hypot(disc[..., 0], disc[..., 1]) <= 1)
    return np.dstack([flow_to_color(disc, 1.0), inside]).astype(np.uint8)


def magnitude_map(magnitude: np.ndarray, max_magnitude: float | None = None) -> np.ndarray:
    """Heat map of a non-negative field [H, W], dark is zero: uint8 RGB [H, W, 3]. Default maximum: the field's own."""
    magnitude = np.asarray(magnitude, np.float64)
    if magnitude.ndim != 2:
        raise ValueError(f"expected a field [H, W], got shape {magnitude.shape}")
    if max_magnitude is None:
        max_magnitude = float(magnitude.max())
    position = np.clip(magnitude / max(max_magnitude, 1e-9), 0, 1) * (len(HEAT_ANCHORS) - 1)
    anchors = np.array(HEAT_ANCHORS, np.float64)
    channels = [np.interp(position, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def xt_slice(frames: Sequence[np.ndarray] | np.ndarray, row: int) -> np.ndarray:
    """One row of every frame under each other: frames uint8 [T, H, W, 3] -> uint8 [T, W, 3], time runs downwards.

    What sways leaves a wavy line, what stands still a straight one; a loop's first and last line continue each other.
    """
    height = len(frames[0])
    if not 0 <= row < height:
        raise ValueError(f"row {row} is outside the frame, whose rows are 0 to {height - 1}")
    return np.stack([frame[row] for frame in frames])


def contact_sheet(images: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Pictures of one size in rows of ``columns``, white between them: N x uint8 [H, W, 3] -> uint8 [H', W', 3]."""
    if not len(images) or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and columns, got {len(images)} and {columns}")
    height, width = images[0].shape[:2]
    if any(image.shape != (height, width, 3) for image in images):
        raise ValueError(f"a contact sheet needs pictures of one size, got {sorted({i.shape for i in images})}")
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet


def motion_figure(image: np.ndarray, volume: Tensor, num_frames: float, fps: float) -> np.ndarray:
    """A labelled figure of what a spectral volume says about a photo.

    Four panels: the photo, the motion's amplitude over the photo, the direction of the strongest mode at the moment of
    its largest displacement, and the mean power of every frequency against Hz.

    Args:
        image: uint8 RGB [h, w, 3], any size.
        volume: ``[K, 4, H, W]`` in pixels, the same aspect ratio.
        num_frames: the motion's period in frames.
        fps: frames a second of that period.

    Returns:
        uint8 RGB [height, width, 3].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from models.spectral_volume import motion_amplitude

    measured_at = f"pixels at {volume.shape[-1]}x{volume.shape[-2]}"
    image, volume = _figure_size(image, volume)
    height, width = image.shape[:2]
    amplitude = motion_amplitude(volume[None])[0, 0].numpy()
    power = volume[1:].square().sum(1).mean((1, 2)).numpy()  # of the frequencies above zero
    mode = int(power.argmax()) + 1 if len(power) else 0
    hertz = fps / num_frames

    panel = (4.6, 4.6 * height / width) if width >= height else (4.6 * width / height, 4.6)
    figure = Figure(figsize=(2 * panel[0] + 1.6, 2 * panel[1] + 1.3), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).ravel()
    _show(axes[0], image, "photo")
    _show_amplitude(figure, axes[1], image, amplitude, measured_at)
    _show(axes[2], _mode_color(volume[mode]), f"direction of the strongest mode, {mode * hertz:.2g} Hz")
    _show_wheel(axes[2])
    _plot_power(axes[3], power, hertz)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def mode_displacement(mode: Tensor) -> np.ndarray:
    """Displacement of one mode at the moment when the whole picture's motion is largest: [4, H, W] -> [H, W, 2].

    Every pixel moves on an ellipse, ``Re(S exp(i phi))``; the sum of squares over the picture is largest at
    ``phi = -arg(sum S^2) / 2``.
    """
    real, imaginary = mode[:2].double().numpy(), mode[2:].double().numpy()
    coefficient = real + 1j * imaginary
    phase = -np.angle((coefficient**2).sum()) / 2
    return 2 * (coefficient * np.exp(1j * phase)).real.transpose(1, 2, 0)


def _figure_size(image: np.ndarray, volume: Tensor) -> tuple[np.ndarray, Tensor]:
    import cv2

    from models.spectral_volume import resize_motion

    scale = min(1.0, FIGURE_SIDE / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    vectors = volume.detach().float().cpu()
    # The figure's numbers stay in pixels of the volume, whatever size the panels have.
    rescale = volume.new_tensor([volume.shape[-1] / width, volume.shape[-2] / height] * 2).float().cpu()
    resized = resize_motion(vectors, (height, width)) * rescale[:, None, None]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), resized


def _show(axes, picture: np.ndarray, title: str) -> None:
    axes.imshow(picture)
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#cccccc")


def _show_amplitude(figure, axes, image: np.ndarray, amplitude: np.ndarray, unit: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    top = max(float(np.percentile(amplitude, 99.5)), 1e-6)  # one wild pixel shall not darken the rest
    gray = image.mean(axis=2, keepdims=True)
    share = np.clip(amplitude / top, 0, 1)[..., None]
    opacity = 0.15 + 0.75 * np.sqrt(share)
    overlay = (1 - opacity) * gray + opacity * magnitude_map(amplitude, top)
    _show(axes, overlay.astype(np.uint8), "motion amplitude (rms)")
    colormap = LinearSegmentedColormap.from_list("heat", np.array(HEAT_ANCHORS) / 255)
    bar = figure.colorbar(ScalarMappable(Normalize(0, top), colormap), ax=axes, fraction=0.04, pad=0.02)
    bar.set_label(unit, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _mode_color(mode: Tensor) -> np.ndarray:
    return clipped_flow_color(mode_displacement(mode))[0]


def _show_wheel(axes) -> None:
    inset = axes.inset_axes((0.8, 0.02, 0.18, 0.18), anchor="SE")
    inset.imshow(wheel_picture(65))
    inset.set_axis_off()


def _plot_power(axes, power: np.ndarray, hertz: float) -> None:
    frequencies = np.arange(1, len(power) + 1) * hertz
    shown = np.maximum(power, max(float(power.max(initial=0.0)), 1e-12) * 1e-6)  # zero has no place on a log axis
    axes.bar(frequencies, shown, width=0.75 * hertz, color="#ba3655")
    axes.set_yscale("log")
    axes.set_title("power spectrum, mean over the picture", fontsize=10)
    axes.set_xlabel("frequency (Hz)", fontsize=9)
    axes.set_ylabel("power (square pixels)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
