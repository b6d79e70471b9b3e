"""Photos -> files of maps, see `data.synthetic.maps.command`."""

import sys

from data.synthetic.maps.command import main

if __name__ == "__main__":
    sys.exit(main())
