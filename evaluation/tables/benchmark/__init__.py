"""`evaluate.py benchmark`: the tables of the paper from a folder of clips, one command."""
