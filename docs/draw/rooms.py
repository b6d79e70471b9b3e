"""Draw the rooms of the repository and who imports whom: ``python -m docs.draw.rooms``.

Writes ``docs/media/rooms.svg`` from the code as it stands; a test holds the file against the code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path

from docs.draw.imports import ROOT, imports, modules

OUTPUT = ROOT / "docs" / "media" / "rooms.svg"
WIDTH, MARGIN, GAP, ROW_GAP = 960, 20, 16, 62  # pixels
TITLE, CHIP, LINE = 26, 22, 26  # heights in pixels
LETTER = 7.0  # width of a letter in pixels, about
SCRIPTS = ("generate", "evaluate", "train_unet", "train_frame_synthesis")
# Rooms from the top down: what stands on a row imports from the rows below it.
ROWS = ((*SCRIPTS, "benchmarks"), ("app", "training", "evaluation", "baselines"), ("data",), ("models",), ("common",))
COLORS = {
    **dict.fromkeys(SCRIPTS, "#5b6472"),
    **{"benchmarks": "#8a8f98", "app": "#b4632d", "training": "#8a6d1d", "evaluation": "#3f7d4e"},
    **{"baselines": "#2f7f86", "data": "#3465a4", "models": "#7a4f9e", "common": "#6b6b6b"},
}


@dataclass(frozen=True)
class Box:
    """A room on the sheet, in pixels."""

    name: str
    x: float
    y: float
    width: float
    height: float
    chips: tuple[str, ...]

    @property
    def center(self) -> float:
        """Where arrows leave and arrive."""
        return self.x + self.width / 2


def top(module: str) -> str:
    """The room at the top level that a module belongs to."""
    return module.split(".")[0]


def contents(room: str) -> tuple[str, ...]:
    """Folders of a room with the number of their modules, then the modules beside them."""
    known = modules()
    inside = [name.split(".")[1:] for name, path in known.items() if top(name) == room and path.name != "__init__.py"]
    folders = Counter(parts[0] for parts in inside if len(parts) > 1)
    for parts in (parts for parts in inside if len(parts) > 2):
        folders[parts[0]] += 0
    beside = sorted(parts[0] for parts in inside if len(parts) == 1 and not parts[0].startswith("__"))
    listed = [f"{folder}/ {count}" for folder, count in sorted(folders.items())]
    return (*listed, *beside)


def arrows() -> Counter[tuple[str, str]]:
    """(room, room it imports) -> number of pairs of modules."""
    pairs = ((top(module), top(other)) for module, others in imports().items() for other in others)
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def rows_of_chips(chips: tuple[str, ...], width: float) -> list[list[str]]:
    """Chips put into lines of at most ``width`` pixels."""
    lines: list[list[str]] = [[]]
    used = 0.0
    for chip in chips:
        needed = chip_width(chip) + 6
        if lines[-1] and used + needed > width:
            lines.append([])
            used = 0.0
        lines[-1].append(chip)
        used += needed
    return lines


def chip_width(chip: str) -> float:
    """Pixels that a chip takes."""
    return LETTER * len(chip) + 12


def place() -> list[Box]:
    """All rooms with their places."""
    boxes: list[Box] = []
    y = float(MARGIN)
    for row in ROWS:
        width = (WIDTH - 2 * MARGIN - GAP * (len(row) - 1)) / len(row)
        inside: dict[str, tuple[str, ...]] = {room: () if row is ROWS[0] else contents(room) for room in row}
        lines = max(len(rows_of_chips(chips, width - 16)) if chips else 0 for chips in inside.values())
        height = TITLE + 8 + lines * LINE
        for column, room in enumerate(row):
            boxes.append(Box(room, MARGIN + column * (width + GAP), y, width, height, inside[room]))
        y += height + ROW_GAP
    return boxes


def draw() -> str:
    """The picture as SVG."""
    boxes = place()
    height = max(box.y + box.height for box in boxes) + MARGIN
    by_name = {box.name: box for box in boxes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Rooms of the repository and what they import</title>",
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [draw_arrow(by_name[a], by_name[b], count) for (a, b), count in sorted(arrows().items())]
    parts += [draw_box(box) for box in boxes]
    return "\n".join([*parts, "</svg>"]) + "\n"


def draw_arrow(start: Box, end: Box, count: int) -> str:
    """A line from a room to one that it imports, thicker the more modules are concerned."""
    color, thickness = COLORS[start.name], 0.8 + min(3.0, 0.5 * count**0.5)
    if start.y == end.y:  # neighbours of one row: a bow below it
        y = start.y + start.height
        way = end.center - start.center - 28
        return _path(f"M {start.center + 14:.0f} {y:.0f} q {way / 2:.0f} 34 {way:.0f} 4", color, thickness)
    # Arrivals are spread along the upper edge, in the order in which the senders stand.
    x1, y1, y2 = start.center, start.y + start.height, end.y - 3
    x2 = end.x + end.width * (0.1 + 0.8 * (start.center - MARGIN) / (WIDTH - 2 * MARGIN))
    bend = (y2 - y1) / 2
    curve = f"M {x1:.0f} {y1:.0f} C {x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    return _path(curve, color, thickness)


def _path(curve: str, color: str, thickness: float) -> str:
    end = curve.split()
    tip_x, tip_y = float(end[-2]), float(end[-1])
    if " q " in curve:  # relative to its start
        tip_x, tip_y = tip_x + float(end[1]), tip_y + float(end[2])
    tip = f'<path d="M {tip_x - 4:.0f} {tip_y - 5:.0f} l 4 7 l 4 -7 z" fill="{color}"/>'
    line = f'<path d="{curve}" fill="none" stroke="{color}" stroke-width="{thickness:.1f}" opacity="0.55"/>'
    return line + tip


def draw_box(box: Box) -> str:
    """A room: its name, and what is in it."""
    color, script = COLORS[box.name], box.name in SCRIPTS
    name, size = (f"{box.name}.py", 12) if script else (f"{box.name}/", 14)
    parts = [
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="8" '
        f'fill="#fbfbfa" stroke="{color}" stroke-width="1.5"/>',
        f'<text x="{box.x + 10:.0f}" y="{box.y + 20:.0f}" font-size="{size}" font-weight="600" '
        f'fill="{color}">{escape(name)}</text>',
    ]
    y = box.y + TITLE + 4
    for line in rows_of_chips(box.chips, box.width - 16) if box.chips else []:
        x = box.x + 8
        for chip in line:
            width = chip_width(chip)
            fill = "#ffffff" if "/" not in chip else "#eef1f5"
            parts.append(
                f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{CHIP - 2}" rx="5" fill="{fill}" '
                f'stroke="#d5d8dd"/><text x="{x + 6:.0f}" y="{y + 14:.0f}" fill="#30343a">{escape(chip)}</text>'
            )
            x += width + 6
        y += LINE
    return "\n".join(parts)


def main(output: Path = OUTPUT) -> None:
    """Write the picture."""
    output.write_text(draw(), encoding="utf-8")
    print(output.relative_to(ROOT) if output.is_relative_to(ROOT) else output)


if __name__ == "__main__":
    main()
