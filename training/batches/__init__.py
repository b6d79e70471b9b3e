"""What training draws: augmented photos with their motion, pairs of frames, cached latents."""
