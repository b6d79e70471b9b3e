"""Photos taken apart into layers that sway: dataset folders with exact motion."""
