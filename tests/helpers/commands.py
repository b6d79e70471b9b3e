"""Starting commands of the repository as a terminal would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

HEED = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


def heeding(*arguments: str) -> list[str]:
    """Python with these arguments, heeding Ctrl-C: shells start what runs in the background deaf to it.

    A program in between undoes that: a function between fork and exec would wait forever for locks that threads of this
    process hold.
    """
    return [sys.executable, "-c", HEED, sys.executable, *arguments]


def exit_status(main: Callable[[list[str]], int], arguments: Sequence[str]) -> int:
    """What a command's process would return; argparse ends it by itself where an option's value makes no sense."""
    try:
        return main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
