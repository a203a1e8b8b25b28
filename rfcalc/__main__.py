"""`python -m rfcalc`."""

import sys

from rfcalc.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
