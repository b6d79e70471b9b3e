"""Turning video and photos into spectral volumes: footage, optical flow, dataset folders."""
