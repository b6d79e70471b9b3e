"""The motion model: latent diffusion over spectral volumes."""
