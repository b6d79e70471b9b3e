"""Try damaged, odd and hostile input on every door: photos, motion files, checkpoints, training states, arguments.

Every case has to end with success, or with one line and status 1 or 2; nothing may be left behind, started or
unpickled. A case follows from the seed and its number, so that --only tries it again.

examples:
  python -m benchmarks.fuzz --minutes 10
  python -m benchmarks.fuzz --minutes 60 --seed 7 --report fuzz.json
  python -m benchmarks.fuzz --doors photo,checkpoint --only 1234
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common.command_line import MachineFailure, OneLineParser, run_script, write_report
from common.option_types import parse_seed, positive, whole

SHOWN = 20  # faults


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=positive, default=5.0, help="how long to go on (default: 5)")
    add("--seed", type=parse_seed, default=0, help="seed of the cases (default: 0)")
    add("--only", type=whole, metavar="NUMBER", help="try this case alone")
    add("--doors", metavar="A,B,...", help="names of doors (default: all)")
    add("--report", type=Path, metavar="FILE.json", help="write counts and faults")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 where a case ended as none may."""
    return run_script(fuzz, build_parser().parse_args(argv))


def fuzz(arguments: argparse.Namespace) -> None:
    """Try cases until the time is over, or one."""
    from benchmarks.fuzz.doors import DOORS

    names = arguments.doors.split(",") if arguments.doors else [door.name for door in DOORS]
    doors = [door for door in DOORS if door.name in names]
    if len(doors) < len(names):
        raise ValueError(f"--doors {arguments.doors}: expected some of {', '.join(door.name for door in DOORS)}")
    end = time.monotonic() + 60 * arguments.minutes
    counts: Counter[str] = Counter()
    faults: list[dict] = []
    number = arguments.only or 0
    while time.monotonic() < end:
        door = doors[number % len(doors)]
        fault = try_case(door, seed=arguments.seed, number=number)
        counts[door.name] += 1
        if fault:
            faults.append({"door": door.name, "case": number, "fault": fault})
            print(f"{door.name}, case {number}: {fault}", file=sys.stderr if len(faults) > SHOWN else sys.stdout)
        if arguments.only is not None:
            break
        number += 1
    told = ", ".join(f"{count} of {name}" for name, count in counts.items())
    print(f"{sum(counts.values())} cases ({told}), {len(faults)} faults")
    write_report(arguments.report, "benchmarks.fuzz", arguments, {"cases": dict(counts), "faults": faults})
    if faults:
        raise MachineFailure(f"{len(faults)} cases ended as none may, see above; --only NUMBER tries one again")


def try_case(door, *, seed: int, number: int) -> str:
    """What is wrong with how a case of a `benchmarks.fuzz.doors.Door` ended; nothing, if all is well."""
    from benchmarks.fuzz.judge import fault_of

    with tempfile.TemporaryDirectory(prefix="fuzz-case-") as folder:
        command = door.case(random.Random(f"{seed} {number} {door.name}"), Path(folder))
        return fault_of(command, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
