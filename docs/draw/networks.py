"""Draw the two networks with the widths of their default presets: ``python -m docs.draw.networks``.

Writes ``docs/media/motion_model.svg`` and ``docs/media/renderer.svg`` from the configurations in the code.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from docs.draw.imports import ROOT
from models.motion.config import PRESETS as MOTION_PRESETS
from models.motion.unet import UNetConfig
from models.rendering.config import PRESETS as RENDERER_PRESETS

FOLDER = ROOT / "docs" / "media"
STRIDE = 8  # of the latents, in pixels of the photo
TINTS = {"data": "#eef1f5", "trained": "#f3ecf8", "frozen": "#e9f2ec", "fixed": "#faf3e6"}
EDGES = {"data": "#8a94a3", "trained": "#7a4f9e", "frozen": "#3f7d4e", "fixed": "#b4842d"}
MEANINGS = {
    **{"data": "tensor", "trained": "trained", "frozen": "frozen, trained elsewhere"},
    **{"fixed": "no parameters"},
}


class Sheet:
    """Boxes, arrows and words on a white sheet, in pixels."""

    def __init__(self, title: str, width: int, height: int) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="system-ui, sans-serif" font-size="12" fill="#30343a">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" fill="#6b7280"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def box(self, x: float, y: float, width: float, height: float, *, kind: str, words: str) -> None:
        """A box with centred lines; the first is set in bold."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{TINTS[kind]}" '
            f'stroke="{EDGES[kind]}" stroke-width="1.4"/>'
        )
        lines = words.split("\n")
        first = y + height / 2 - 8 * (len(lines) - 1) + 4
        for number, line in enumerate(lines):
            weight = ' font-weight="600"' if number == 0 else ""
            self.parts.append(
                f'<text x="{x + width / 2:g}" y="{first + 16 * number:g}" text-anchor="middle"{weight}>'
                f"{escape(line)}</text>"
            )

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        """A line through the points with a tip at the last."""
        path = "M " + " L ".join(f"{x:g} {y:g}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="#6b7280" stroke-width="1.4" marker-end="url(#tip)"{dash}/>'
        )

    def words(self, x: float, y: float, text: str, anchor: str = "middle") -> None:
        """A line of small text."""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="11">{escape(text)}</text>')

    def legend(self, x: float, y: float) -> None:
        """What the tints mean."""
        for kind, meaning in MEANINGS.items():
            self.parts.append(
                f'<rect x="{x:g}" y="{y - 10:g}" width="14" height="12" rx="3" fill="{TINTS[kind]}" '
                f'stroke="{EDGES[kind]}"/>'
            )
            self.words(x + 20, y, meaning, anchor="start")
            x += 34 + 6.4 * len(meaning)

    def svg(self) -> str:
        """The sheet."""
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def motion_model() -> str:
    """Latent diffusion over spectral volumes, conditioned on one photo (paper section 4.2)."""
    config = MOTION_PRESETS["default"]
    unet, latents = config.unet, config.autoencoder.latent_channels
    assert isinstance(unet, UNetConfig)
    (width, height), count = config.size, config.num_frequencies
    grid = (height // STRIDE, width // STRIDE)
    sheet = Sheet("The motion model", 940, 420)
    sheet.box(20, 30, 130, 56, kind="data", words=f"photo\n3 x {height} x {width}")
    sheet.box(200, 30, 180, 56, kind="frozen", words="image encoder\nEfficientNet-Lite0 pyramid")
    condition = f"image condition\n{unet.condition_channels} x {grid[0]} x {grid[1]}"
    sheet.box(430, 30, 170, 56, kind="trained", words=condition)
    sheet.arrow((150, 58), (198, 58))
    sheet.arrow((380, 58), (428, 58))
    sheet.arrow((85, 86), (85, 108), (515, 108), (515, 88))
    sheet.words(300, 103, f"pixels, folded {STRIDE} x {STRIDE}")
    shape = f"{count} x {latents} x {grid[0]} x {grid[1]}"
    sheet.box(20, 190, 130, 64, kind="data", words=f"noisy latents\n{shape}\nand noise level")
    levels = [unet.channels * multiplier for multiplier in unet.multipliers]
    for side, x0 in ((1, 200), (-1, 650)):
        for level, channels in enumerate(levels):
            attends = "\nattention" if level in unet.attention_levels else ""
            words = f"{channels} channels\n{grid[0] >> level} x {grid[1] >> level}{attends}"
            sheet.box(x0 + side * 66 * level, 150 + 78 * level, 108, 62, kind="trained", words=words)
            if level:
                x = x0 + side * 66 * level + 54
                upper, lower = 150 + 78 * (level - 1) + 62, 150 + 78 * level
                ends = ((x - 20, upper), (x - 20, lower - 2)) if side > 0 else ((x + 20, lower), (x + 20, upper + 2))
                sheet.arrow(*ends)
    for level in range(len(levels)):
        sheet.arrow((308 + 66 * level, 181 + 78 * level), (648 - 66 * level, 181 + 78 * level), dashed=level < 2)
    sheet.words(478, 175, "skip connections; after each layer frequency attention")
    sheet.words(478, 253, "lets the frequencies of a photo agree")
    sheet.arrow((515, 86), (515, 130), (254, 130), (254, 148))
    sheet.words(380, 125, "added on the way down")
    sheet.arrow((150, 200), (198, 181))
    sheet.arrow((758, 181), (798, 181))
    sheet.box(800, 150, 120, 62, kind="fixed", words="sampler\nDPM-Solver++,\nDDIM or DDPM")
    sheet.arrow((860, 212), (860, 398), (85, 398), (85, 256))
    sheet.words(470, 392, "one step less noisy, until none is left")
    sheet.arrow((860, 150), (860, 88))
    sheet.box(636, 30, 130, 56, kind="data", words=f"spectral volume\n{count} x 4 x {height} x {width}")
    sheet.box(800, 30, 120, 56, kind="trained", words="decoder\neach frequency")
    sheet.arrow((798, 58), (768, 58))
    sheet.legend(20, 412)
    return sheet.svg()


def renderer() -> str:
    """From a photo and its motion to a frame (paper section 5): splatted features and a GridNet."""
    config = RENDERER_PRESETS["default"]
    rows, columns = len(config.channels), config.columns
    sheet = Sheet("The renderer", 940, 400)
    sheet.box(20, 40, 110, 50, kind="data", words="photo\n3 x H x W")
    sheet.box(20, 306, 130, 66, kind="data", words="flow to the frame\n2 x H x W\nand importance")
    for row, channels in enumerate(config.channels):
        y, scale = 40 + 92 * row, 2**row
        size = "H x W" if row == 0 else f"H/{scale} x W/{scale}"
        sheet.box(180, y, 120, 50, kind="trained", words=f"features\n{channels} x {size}")
        sheet.box(345, y, 110, 50, kind="fixed", words="softmax splat\nflow rescaled")
        sheet.arrow((300, y + 25), (343, y + 25))
        if row:
            sheet.arrow((240, y - 42), (240, y - 2))
        for column in range(columns):
            x = 500 + 66 * column
            sheet.box(x, y, 48, 50, kind="trained", words=f"{channels}")
            sheet.arrow((x - 18 if column else 455, y + 25), (x - 2, y + 25))
            if row and column < columns // 2:
                sheet.arrow((x + 24, y - 42), (x + 24, y - 2))
            elif row:
                sheet.arrow((x + 24, y), (x + 24, y - 40))
    sheet.arrow((130, 65), (178, 65))
    bottom = 40 + 92 * (rows - 1) + 50
    sheet.arrow((150, 339), (400, 339), (400, bottom + 2))
    sheet.words(275, 333, "resized and rescaled to each level")
    right = 500 + 66 * columns
    sheet.words(500 + 33 * columns - 9, bottom + 20, "GridNet: down in the first half, up in the second")
    sheet.box(right, 40, 100, 50, kind="trained", words="head\n3 + 1 channels")
    sheet.arrow((right - 18, 65), (right - 2, 65))
    sheet.box(right, 140, 100, 66, kind="fixed", words="correction\nfades where\nnothing moves")
    sheet.arrow((right + 50, 90), (right + 50, 138))
    sheet.box(right, 256, 100, 50, kind="data", words="frame\n3 x H x W")
    sheet.arrow((right + 50, 206), (right + 50, 254))
    sheet.arrow((400, 40), (400, 20), (920, 20), (920, 173), (right + 102, 173))
    sheet.words(640, 15, "splatted photo, and the photo resampled along the inverse flow")
    sheet.legend(300, 384)
    return sheet.svg()


FIGURES: dict[str, Callable[[], str]] = {"motion_model.svg": motion_model, "renderer.svg": renderer}


def main(folder: Path = FOLDER) -> None:
    """Write both figures."""
    for name, draw in FIGURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")
        print(f"{folder.name}/{name}")


if __name__ == "__main__":
    main()
