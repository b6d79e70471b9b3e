"""Photos -> dataset folder of layered photos under known oscillation, see `data.synthetic.command`."""

import sys

from data.synthetic.command import main

if __name__ == "__main__":
    sys.exit(main())
