"""True errors, on sequences whose motion is exact."""
