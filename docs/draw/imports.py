"""Which module of the repository imports which, read from the source without running any of it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("common", "models", "data", "training", "evaluation", "baselines", "app", "benchmarks")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Dotted name of every module of the rooms and every script at the top -> its file."""
    files = [*root.glob("*.py"), *(path for room in ROOMS for path in (root / room).rglob("*.py"))]
    return {dotted(path.relative_to(root)): path for path in sorted(files)}


def dotted(path: Path) -> str:
    """``models/motion/unet.py`` -> ``models.motion.unet``; a package is named by its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
@cache  # reading all modules takes seconds
def imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Module -> the modules of the repository that it imports anywhere, inside functions too; not those for types."""
    known = modules(root)
    return {name: set(_imported(ast.parse(path.read_text()), known)) - {name} for name, path in known.items()}


def _imported(node: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue  # holds no statement
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name in known)
        elif isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif child.module in known:
                    yield child.module
        yield from _imported(child, known)


def room_of(module: str, known: dict[str, Path]) -> str:
    """The folder that a module lies in; a module beside folders, such as ``models.pipeline``, is a room by itself."""
    folder = known[module].parent
    if known[module].name == "__init__.py":
        return module
    own = module.rpartition(".")[0]
    has_rooms = any(path.parent.parent == folder for path in known.values())
    return own if own and not has_rooms else module


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components of more than one node)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], index[other])
        if lowest[node] == index[node]:
            group = []
            while True:
                group.append(stack.pop())
                if group[-1] == node:
                    break
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def rooms(root: Path = ROOT) -> dict[str, set[str]]:
    """Room -> the rooms that its modules import."""
    known = modules(root)
    graph: dict[str, set[str]] = {}
    for module, others in imports(root).items():
        room = room_of(module, known)
        graph.setdefault(room, set()).update(room_of(other, known) for other in others)
    return {room: others - {room} for room, others in graph.items()}
