"""Stochastic image-to-video synthesis by conditional invertible networks (Dorkenwald et al., CVPR 2021).

A video of 16 frames is a photo and a code of 64 numbers; an invertible network, told of the photo, turns normal noise
into codes. See docs/cinn.md.
"""
