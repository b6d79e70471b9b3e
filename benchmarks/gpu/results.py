"""What a run of `benchmarks.gpu.run` finds, on disk the moment it is known: JSON lines and a Markdown report of them.

Each part is a process of its own and adds its lines to ``results.jsonl``; ``report.md`` is made of all lines anew each
time, so both are whole after whatever happens next.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.files import temporary_path

LINES, REPORT = "results.jsonl", "report.md"
# Columns of the report's tables: key of a line, heading.
COLUMNS = (
    *(("what", "what"), ("value", "here"), ("unit", ""), ("cpu", "CPU of this machine"), ("times", "times as fast")),
    *(("share", "of copy bandwidth"), ("note", "")),
)
TRACEBACK_LINES = 40  # of a part that failed, in the report; the log has all


class Results:
    """The result files of one run, in a folder.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, part: str, what: str, *, value: float | None, unit: str, **more: Any) -> None:
        """Note a figure.

        Args:
            part: of the run.
            what: was measured, with its sizes.
            value: None where it could not be measured, which ``note`` then explains.
            more: ``cpu``, the same on the processor; ``share`` of copy bandwidth, 1 for all of it; ``note``; others
                are kept in the JSON lines.
        """
        line = {"kind": "figure", "part": part, "what": what, "value": value, "unit": unit, **more}
        cpu = more.get("cpu")
        if value is not None and cpu:
            slow = unit.startswith("s ")  # seconds a photo: less is faster
            line["times"] = cpu / value if slow else value / cpu
        self._append(line)

    def state(self, part: str, outcome: str, *, seconds: float, detail: str = "") -> None:
        """Note how a part ended: ``done``, ``failed``, ``stopped`` at its time limit or ``left out``.

        Args:
            detail: the end of what it printed, where that says what went wrong.
        """
        self._append(
            {"kind": "state", "part": part, "outcome": outcome, "seconds": round(seconds, 1), "detail": detail}
        )

    def facts(self, part: str, facts: Mapping[str, Any]) -> None:
        """Note what is neither a figure nor an end, such as what the machine has."""
        self._append({"kind": "facts", "part": part, "facts": dict(facts)})

    def _append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(_plain(line), allow_nan=False)
        with (self.folder / LINES).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        with temporary_path(self.folder / REPORT) as temporary:
            temporary.write_text(report(read_lines(self.folder)), encoding="utf-8")


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``results.jsonl``, none where it is not there yet.

    Raises:
        ValueError: a line that is not one of ours.
    """
    path = folder / LINES
    if not path.is_file():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
            line["kind"], line["part"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}: line {number} is no result of a run; remove the file and run again") from None
        lines.append(line)
    return lines


def figure(folder: Path, part: str, what: str) -> float | None:
    """The value of the last figure of that name, or None."""
    values = [
        x["value"] for x in read_lines(folder) if (x["kind"], x["part"]) == ("figure", part) and x["what"] == what
    ]
    return values[-1] if values else None


def report(lines: Iterable[Mapping[str, Any]]) -> str:
    """All lines as Markdown, a section for each part in the order in which they first appear."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        parts.setdefault(line["part"], []).append(line)
    return "\n".join(["# What this machine does", "", *(_section(name, own) for name, own in parts.items())])


def _section(part: str, lines: list[Mapping[str, Any]]) -> str:
    texts = [f"## {part}", ""]
    facts = {name: value for line in lines if line["kind"] == "facts" for name, value in line["facts"].items()}
    texts += [f"- {name}: {value}" for name, value in facts.items()] + ([""] if facts else [])
    # A figure that is measured again, or is now known beside the processor's, takes the place of the first.
    figures = list({line["what"]: line for line in lines if line["kind"] == "figure"}.values())
    if figures:
        texts += [*_table(figures), ""]
    for line in lines:
        if line["kind"] == "state":
            texts += [f"{line['outcome']} after {line['seconds']} s", ""]
            if line["detail"]:
                texts += ["```", *line["detail"].splitlines()[-TRACEBACK_LINES:], "```", ""]
    return "\n".join(texts)


def _table(figures: list[Mapping[str, Any]]) -> list[str]:
    used = [(key, heading) for key, heading in COLUMNS if any(_cell(key, line) for line in figures)]
    rows = ["| " + " | ".join(heading for _, heading in used) + " |", "|" + "---|" * len(used)]
    return rows + ["| " + " | ".join(_cell(key, line) for key, _ in used) + " |" for line in figures]


def _cell(key: str, line: Mapping[str, Any]) -> str:
    value = line.get(key)
    if value is None:
        return "not measured" if key == "value" else ""
    if key == "share":
        return f"{100 * value:.0f} %"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")


def _plain(value: Any) -> Any:
    """Numbers that JSON has no word for become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
