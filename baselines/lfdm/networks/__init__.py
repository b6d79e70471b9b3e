"""The networks of LFDM: the flow autoencoder's four parts and the 3D U-Net."""
