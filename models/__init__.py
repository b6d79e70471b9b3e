"""The motion model, the renderer and what joins them; docs/paper_to_code.md maps equations to functions."""
