"""Dataset folders: planning, computing, writing, merging and reading them."""
