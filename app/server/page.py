"""The page that photos are dropped on: its template with the server's token and the defaults of its controls."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from app.options import DEFAULT_LONG_SIDE, LoopOptions
from app.server.animate import SIDES
from common.image_files import FORMATS, IMAGE_SUFFIXES
from models.choices import WINDS

SIZE_NAMES = dict(zip(SIDES, ("small", "medium", "large"), strict=True))
STRONGEST = 3.0  # of the slider for the amplitude


def page(token: str, defaults: LoopOptions, *, most_bytes: int, wind: bool) -> str:
    """The page as HTML. It holds no data of photos: those come as JSON and are shown as text.

    Args:
        most_bytes: of a photo that can be sent.
        wind: whether the model can be told how hard the wind blows.
    """
    template = (Path(__file__).parent / "page_template.html").read_text(encoding="utf-8")
    chosen = defaults.sampling.wind or "breeze"
    usual = WINDS[chosen] if isinstance(chosen, str) else chosen
    values = {
        "no_wind": "" if wind else "hidden",
        "wind": f"{usual:g}",
        "calmest": f"{min(WINDS['calm'] / 2, usual):g}",
        "wildest": f"{max(2 * WINDS['strong'], usual):g}",
        "token": token,
        "seed": defaults.sampling.seed,
        "highest_seed": 2**62,  # common.option_types.parse_seed
        "magnify": f"{defaults.playing.magnify:g}",
        "weakest": f"{min(0.25, defaults.playing.magnify):g}",
        "strongest": f"{max(STRONGEST, defaults.playing.magnify):g}",
        "types": ",".join(form.media_type for form in FORMATS) + "," + ",".join(IMAGE_SUFFIXES),
        "formats": ", ".join(form.name for form in FORMATS[:4]) + " or another picture",
        "most_bytes": most_bytes,
        "most_megabytes": most_bytes // 10**6,
    }
    escaped = {name: escape(str(value)) for name, value in values.items()}
    return Template(template).substitute(escaped, sizes=_sizes(defaults))


def _sizes(defaults: LoopOptions) -> str:
    chosen = DEFAULT_LONG_SIDE if defaults.rendering.size is None else 0
    options = [
        f'<option value="{side}"{" selected" if side == chosen else ""}>{name}, {side} px</option>'
        for side, name in SIZE_NAMES.items()
    ]
    if not chosen:
        options.insert(0, f'<option value="" selected>{escape(str(defaults.rendering.size))}, as started</option>')
    return "\n".join(options)
