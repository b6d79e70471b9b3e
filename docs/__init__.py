"""The documents, and in `draw` the pictures in them that are made from the code."""
