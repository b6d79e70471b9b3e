"""What pages share that are one file and load nothing: contents inside them, and a policy that lets only those run."""

from __future__ import annotations

import base64
import hashlib
import json


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
