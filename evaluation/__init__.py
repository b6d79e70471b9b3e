"""What `evaluate.py` runs: the tables that judge motion and rendering. Above `models` and `data`, below the script."""
