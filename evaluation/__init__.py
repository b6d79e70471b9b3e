"""What `evaluate.py` runs: the tables that judge motion and rendering."""
