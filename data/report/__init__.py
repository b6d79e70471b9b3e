"""``python -m data.prepare report``: a page about a dataset folder."""
