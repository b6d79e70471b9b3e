"""Turning video into spectral volumes: decoding, optical flow, dataset folders, and pictures of motion."""
