"""Measures of frames and motion, and distances between sets of videos."""
