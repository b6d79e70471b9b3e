"""The page of a gallery: loops beside it, the credits of their photos, and what failed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from common.page import html_page, section

POLICY = "default-src 'none'; media-src 'self' file:"  # the loops beside the page, on a server or without one
SUMMARY = "Each loop was made from one photo, which was made smaller. What failed is shown as well."
# Without a script, and where the system asks for less motion, loops play when asked to.
SCRIPT = """
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
  for (const loop of document.querySelectorAll("video")) loop.play().catch(() => {});
}
"""


@dataclass(frozen=True)
class Credit:
    """Who made a photo, and what somebody found wrong with its loop."""

    author: str
    licence: str
    source: str
    failure: str = ""


@dataclass(frozen=True)
class Exhibit:
    """What became of a photo."""

    photo: str  # its file's name
    loop: str | None  # beside the page; None: none could be made
    size: tuple[int, int] | None = None  # (W, H) in pixels
    problem: str = ""  # that was found without looking


def gallery_page(title: str, exhibits: Sequence[Exhibit], *, credits: Mapping[str, Credit]) -> str:
    """The page: first what worked, then what did not, with the reasons."""
    good: list[str] = []
    bad: list[str] = []
    for exhibit in exhibits:
        credit = credits[exhibit.photo]
        reasons = [text for text in (credit.failure, exhibit.problem) if text]
        (bad if reasons else good).append(_figure(exhibit, credit, reasons))
    parts = [("loops", f"Loops ({len(good)})", good), ("failures", f"Failures ({len(bad)})", bad)]
    sections = [section(*part[:2], f'<div class="clips">\n{"".join(part[2])}</div>') for part in parts if part[2]]
    values = {"credits": {name: asdict(credit) for name, credit in credits.items()}}
    return html_page(title, SUMMARY, sections, values, script=SCRIPT, policy=POLICY)


def _figure(exhibit: Exhibit, credit: Credit, reasons: Sequence[str]) -> str:
    name = escape(Path(exhibit.photo).stem)
    shown = ""
    if exhibit.loop and exhibit.size:
        width, height = exhibit.size
        what = f'width="{width}" height="{height}" aria-label="{name}" src="./{quote(exhibit.loop)}"'
        shown = f'<video controls loop muted playsinline preload="auto" {what}></video>'
    failure = f"<strong>Failure: {escape('; '.join(reasons))}</strong><br>" if reasons else ""
    who = f"{escape(credit.author)}, {escape(credit.licence)}, {_source(credit.source)}"
    return f"<figure>{shown}<figcaption>{failure}{name}. Photo: {who}</figcaption></figure>\n"


def _source(text: str) -> str:
    """Where a photo comes from: its first web address as a link, else the text."""
    address = re.search(r"https?://[^\s;,<>\"']+", text)
    return f'<a href="{escape(address[0])}" rel="noopener">source</a>' if address else escape(text)
