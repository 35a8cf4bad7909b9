"""What the engine's names stand for inside a worker, where no engine can run. Standard library only."""

from typing import Any, NoReturn

__all__ = ["Elsewhere", "run"]


class Elsewhere:
    """Stands for `Engine` and its kin in a worker: may be named and constructed while a script loads, but not used.

    A script that is run by isolated lanes is imported there too; its top-level `Engine(...)` must not start another.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"{name!r} was asked of an engine inside a worker: {_ADVICE}")

    async def __aenter__(self) -> NoReturn:
        raise RuntimeError(f"an engine was opened inside a worker: {_ADVICE}")

    async def __aexit__(self, *details: object) -> None: ...


def run(*arguments: Any, **options: Any) -> NoReturn:
    """Refuse to start a run inside a worker."""
    raise RuntimeError(f"laneway.run was called inside a worker: {_ADVICE}")


_ADVICE = (
    "engines run in the program, not in its workers. If this is a script's own start, put it below "
    "`if __name__ == '__main__':`, because workers import the script too"
)
