"""Runs one benchmark by name, or lists them: python -m benchmarks [NAME [ARGS...]]."""

import runpy
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> int:
    """Hand over to the named benchmark."""
    here = Path(__file__).parent
    names = sorted(
        file.stem
        for file in here.glob("*.py")
        if not file.stem.startswith("_") and "if __name__ ==" in file.read_text()
    )
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.stdout.write("usage: python -m benchmarks NAME [ARGS...]\n\n")
        for name in names:
            title = (here / f"{name}.py").read_text("utf-8").partition("\n")[0].strip('" ')
            sys.stdout.write(f"  {name:14} {title}\n")
        return 0
    name = sys.argv[1]
    if name not in names:
        sys.stderr.write(f"there is no benchmark {name!r}; there is: {', '.join(names)}\n")
        return 2
    sys.argv = [f"benchmarks.{name}", *sys.argv[2:]]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
