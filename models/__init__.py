"""The motion model, the renderer and what joins them; see docs/paper_to_code.md for the map from equations to functions."""
