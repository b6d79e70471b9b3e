"""Commands of the baseline: ``python -m baselines.lfdm train|sample|transfer|reconstruct|convert``."""

from __future__ import annotations

from baselines.lfdm.command import main

if __name__ == "__main__":
    raise SystemExit(main())
