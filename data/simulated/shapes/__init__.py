"""Geometry: meshes, how they hang together, and the plants, fabrics and buildings made of them."""
