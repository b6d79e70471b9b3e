"""``python -m baselines.lfdm``."""

import sys

from baselines.lfdm.command import main

sys.exit(main())
