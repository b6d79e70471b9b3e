"""The networks: video autoencoder, discriminators, conditioning encoder and conditional invertible network."""
