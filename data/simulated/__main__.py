"""Simulated scenes with exact motion -> dataset folder, see `data.simulated.command`."""

import sys

from data.simulated.command import main

if __name__ == "__main__":
    sys.exit(main())
