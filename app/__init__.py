"""What people touch: the options of generate.py, the files it makes, its pages and its server."""
