"""`python -m laneway` is the command `laneway`."""

import sys

from laneway.cli import main

if __name__ == "__main__":
    sys.exit(main())
