"""LFDM, conditional image-to-video by latent flow diffusion (Ni et al., CVPR 2023), for comparison: docs/lfdm.md."""
