"""Commands of the baseline: ``python -m baselines.cinn train|sample|transfer|endpoint|convert``."""

from __future__ import annotations

from baselines.cinn.command import main

if __name__ == "__main__":
    raise SystemExit(main())
