"""The page's own files, as they are served: by a built studio and by `generate.py --serve`, which needs no build."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template

from app.viewer import page as viewer
from common.page import inline_policy, page_style
from models.dynamics.basis import LARGEST_DISPLACEMENT, SOFTNESS
from models.dynamics.oscillators import Damping

SOURCE = Path(__file__).parent / "page"
FORMAT, FORMAT_VERSION = "image-dynamics-studio", 2
MANIFEST = "manifest.json"
SERVICE_WORKER = "sw.js"
VIEWER_SCRIPTS = tuple(name for name in viewer.SCRIPTS if name not in ("start.js", "decode.js", "embed.js"))
LICENCE_FILES = ("LICENSE",)
MARK = "\x01"  # around the names of what the page fills in
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}


def page_files() -> dict[str, bytes]:
    """Everything of the page but its manifest, the service worker, networks and runtimes, by path."""
    files = {str(path.relative_to(SOURCE).as_posix()): path.read_bytes() for path in sorted(SOURCE.rglob("*.*"))}
    del files[SERVICE_WORKER]  # a build's alone: it names all other files
    files["studio.css"] = page_style(SOURCE / "studio.css").encode()
    files |= {f"viewer/{name}": (viewer.FOLDER / name).read_bytes() for name in VIEWER_SCRIPTS}
    files["viewer/page.json"] = json.dumps(poke_page_parts()).encode()
    root = SOURCE.parents[2]
    return files | {name: (root / name).read_bytes() for name in LICENCE_FILES}


def poke_page_parts() -> list[str]:
    """The page to poke (`app.viewer.page`) in parts: text, name of what belongs there, text, and so on."""
    style = page_style(viewer.FOLDER / "page.css")
    script = "\n".join((viewer.FOLDER / name).read_text(encoding="utf-8") for name in viewer.SCRIPTS)
    names = ("title", "width", "height", "photo", "loop", "header", "modes")
    page = Template((viewer.FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        {name: f"{MARK}{name}{MARK}" for name in names},
        style=style,
        script=script,
        policy=f"{viewer.POLICY}; {inline_policy(style, script)}",
    )
    return re.split(MARK, page)


def physics_values() -> dict:
    """Constants of the page to poke, whose code the studio draws with."""
    damping = Damping()
    return {
        "format": viewer.FORMAT,
        "version": viewer.FORMAT_VERSION,
        "damping": {"alpha": damping.alpha, "beta": damping.beta},
        "softness": SOFTNESS,
        "largest_displacement": LARGEST_DISPLACEMENT,
    }
