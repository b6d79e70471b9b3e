"""Where the repository and what it brings along lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "data" / "samples"
PRETRAINED = ROOT / "models" / "pretrained"
