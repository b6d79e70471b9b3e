"""Pages that are one file and load nothing: their frame and the elements that reports are put together from.

Pictures and clips are inside a page, and its content security policy forbids the rest. Captions, headers and names are
text, whatever is in them; what is called content is HTML.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from common.files import write_text

FOLDER = Path(__file__).parent
POLICY = "default-src 'none'; img-src data:; media-src data:"


def html_page(
    title: str, summary: str, sections: Iterable[str], values: Mapping, script: str = "", *, policy: str = POLICY
) -> str:
    """A whole page.

    Args:
        sections: HTML; empty ones are left out.
        values: what the page shows, put into it as JSON for programs.
        script: JavaScript that runs when the page is there.
        policy: what may be loaded, for a page with files beside it.
    """
    style = page_style(FOLDER / "page.css")
    return Template((FOLDER / "page_template.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        summary=escape(summary),
        policy=f"{policy}; {inline_policy(style, script)}",
        style=style,
        script=script,
        sections="\n".join(section for section in sections if section),
        json=script_json(values),
    )


def page_style(path: Path) -> str:
    """A page's style sheet after the colours that all pages share, in light and in dark."""
    return (FOLDER / "palette.css").read_text(encoding="utf-8") + path.read_text(encoding="utf-8")


def write_page(path: str | Path, page: str) -> None:
    """Write a page, making its folder where there is none; there is never a part of it under this name."""
    write_text(path, page)


def section(name: str, title: str, content: str) -> str:
    """A part of the page under a heading; ``name`` is its anchor."""
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{content}\n</section>'


def html_table(
    caption: str, headers: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], corner: str = "row"
) -> str:
    """A table with row names, which scrolls where it is wider than the page; the cells of ``rows`` are HTML."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
        for name, cells in zip(names, rows, strict=True)
    )
    head = f'<thead><tr><th scope="col">{escape(corner)}</th>{column_heads(headers)}</tr></thead>'
    whole = f"<table><caption>{escape(caption)}</caption>{head}<tbody>\n{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{whole}</div>'


def column_heads(headers: Iterable[str]) -> str:
    """Column heads of a table."""
    return "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)


def figure(caption: str, content: str) -> str:
    """Content over its caption."""
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def image(data: bytes, caption: str) -> str:
    """A PNG, WebP or SVG picture."""
    # As an image a plot's own markup can neither run nor mix with the page's.
    kind = {b"\x89PNG": "png", b"RIFF": "webp"}.get(data[:4], "svg+xml")
    return f'<img src="{data_url(f"image/{kind}", data)}" alt="{escape(caption)}">'


def listing(title: str, values: Mapping) -> str:
    """Names with their values under a small heading; without those that are None or empty lists."""
    given = {key: value for key, value in values.items() if value is not None and value != []}
    if not given:
        return ""
    items = "".join(f"<dt>{escape(str(key))}</dt><dd>{_plain(value)}</dd>" for key, value in given.items())
    return f"<h3>{escape(title)}</h3>\n<dl>{items}</dl>"


def _plain(value: object) -> str:
    return f"<code>{escape(value if isinstance(value, str) else json.dumps(value))}</code>"


def inline_policy(style: str, script: str) -> str:
    """Directives of a content security policy that let just this inline style and script through."""
    return f"style-src {source_hash(style)}; script-src {source_hash(script)}"


def source_hash(text: str) -> str:
    """What a content security policy allows inline text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_url(kind: str, content: bytes) -> str:
    """``data:`` address of some bytes of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def script_json(values: object) -> str:
    """JSON to stand inside a script element, which a ``<`` could end wherever in a text it stands."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c")
