"""`python -m traintop` is `traintop`."""

import sys

from traintop_tui.cli import main

sys.exit(main())
