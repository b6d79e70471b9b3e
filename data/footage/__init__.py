"""Raw footage: finding it, looking at it once, its shots, copies, interlacing and drift."""
