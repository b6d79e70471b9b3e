"""Steps of a long computation, each in a folder of its own: what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.command_line import write_json
from evaluation.tables.ablation import read_json

STEP_FILE = "step.json"  # in a step's folder: what it rests on and, once it is done, what came out


class Ledger:
    """The steps below one folder.

    A step is its name, which is its folder, what its result rests on, as plain values, and a function. It is done when
    its file holds a result for the same values; a process that is killed anywhere leaves it to be done.
    """

    def __init__(self, output: Path) -> None:
        self.output = output

    def do(
        self, name: str, run: Callable[[Path], dict[str, Any]], *, rests_on: Mapping[str, Any], anew: bool = True
    ) -> dict[str, Any]:
        """The result of a step, computed now unless it is there.

        Args:
            name: of the step and its folder.
            run: takes the folder and gives plain values; it may find what an earlier call that was stopped left there.
            rests_on: everything that the result depends on.
            anew: False where what was begun with other values is in the way.

        Raises:
            ValueError: the folder holds the same step of other values, and ``anew`` is False.
        """
        folder = self.output / name
        path = folder / STEP_FILE
        wanted = json.loads(json.dumps(rests_on))  # as it will be read back
        stored = read_json(path)
        same = stored.get("rests_on") == wanted
        if same and "result" in stored:
            return stored["result"]
        if stored and not same and not anew:
            before = stored.get("rests_on") or {}
            changed = ", ".join(key for key in wanted if before.get(key) != wanted[key]) or "nothing that can be read"
            raise ValueError(f"{folder}: was made with other values ({changed}); remove it or name another --output")
        print(f"benchmark: {name}", flush=True)
        write_json(path, {"rests_on": wanted})
        result = json.loads(json.dumps(run(folder)))
        write_json(path, {"rests_on": wanted, "result": result})
        return result
