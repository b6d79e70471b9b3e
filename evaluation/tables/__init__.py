"""The tables of `evaluate.py`, one module each with what it computes."""
