"""The tests marked `gpu`, of the files that have any."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

from benchmarks.gpu.part import run_part
from benchmarks.gpu.results import Results
from benchmarks.gpu.without import hidden

PART = "gpu tests"
ROOT = Path(__file__).parents[2]


def main(argv: list[str] | None = None) -> int:
    """Run the tests and return the exit status."""
    return run_part("gpu_tests", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """Run them, note how many passed, and fail where one did."""
    found = results.folder / ".tests.xml"
    arguments = ["-q", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={found}", *map(str, files())]
    lacking = ",".join(hidden())
    start = ["benchmarks.gpu.without", lacking, "pytest"] if lacking else ["pytest"]
    status = subprocess.run([sys.executable, "-m", *start, *arguments], cwd=ROOT).returncode
    try:
        note_counts(results, found)
    finally:
        found.unlink(missing_ok=True)
    if status:
        raise RuntimeError(f"pytest ended with status {status}; the log has what it said")


def files() -> list[Path]:
    """Test files with a test that needs a GPU: collecting all would need packages that GPU machines lack."""
    marker = re.compile(r"^@pytest\.mark\.gpu\b|^pytestmark.*\bgpu\b", re.MULTILINE)
    return [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if marker.search(path.read_text("utf-8"))]


def note_counts(results: Results, path: Path) -> None:
    """How many passed, failed and were skipped, and why each was that did not pass."""
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    reasons: dict[str, int] = {}
    for case in suite.iter("testcase"):
        for outcome in (*case.findall("failure"), *case.findall("error"), *case.findall("skipped")):
            first = (outcome.get("message") or "").splitlines() or [""]
            name = "" if outcome.tag == "skipped" else f"{case.get('name')} "
            reasons[f"{outcome.tag}: {name}{first[0]}"] = reasons.get(f"{outcome.tag}: {name}{first[0]}", 0) + 1
    results.add(PART, "passed", value=passed, unit=f"of {counts['tests']} tests", seconds=float(suite.get("time", "0")))
    for reason, count in reasons.items():
        results.add(PART, reason[:200], value=count, unit="tests")


if __name__ == "__main__":
    sys.exit(main())
