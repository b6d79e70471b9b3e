"""The networks behind FID, FVD and LPIPS, and getting their weights."""
