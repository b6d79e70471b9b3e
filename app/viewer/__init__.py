"""The page on which a photo can be poked: one HTML file."""
