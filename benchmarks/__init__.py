"""Scripts that measure speed; docs/performance.md has what they printed."""
