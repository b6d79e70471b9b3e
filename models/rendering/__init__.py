"""The renderer: a photo and its motion become frames."""
