"""`generate.py --serve`: a page on this machine that photos are dropped on and that shows the loops made of them."""
