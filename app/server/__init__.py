"""`generate.py --serve`: the studio's page on this machine, with this Python as its engine."""
