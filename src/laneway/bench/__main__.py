"""`python -m laneway.bench interpreters` is `laneway bench lanes`; else the arguments are those of `laneway bench`."""

import sys

from laneway.cli import main

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["interpreters"]:
        arguments[0] = "lanes"
    sys.exit(main(["bench", *arguments]))
