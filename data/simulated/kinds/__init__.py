"""The kinds of scene, each a function of a random generator."""
