"""Simulated scenes: procedural gardens, rooms and streets, rendered by Blender with exact motion."""
