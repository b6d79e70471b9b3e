"""Class map, subject matte and saliency of photos, made once by networks and kept in files."""
