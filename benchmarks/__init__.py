"""Scripts that measure speed; docs/performance.md has what they printed, and `gpu.sh` runs a GPU's all at once."""
