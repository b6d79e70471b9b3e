"""What LFDM is trained on: clips of the published data sets and of our dataset folders, and batches of them."""
