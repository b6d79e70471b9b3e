"""The studio beside Python: how soon a photo moves (`python -m benchmarks.studio`), and whether it moves alike."""
