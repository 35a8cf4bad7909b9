"""Parts of the system that tests use: programs, servers, a compiler."""

import os
from typing import NoReturn

import pytest

__all__ = ["lacking"]


def lacking(what: str) -> NoReturn:
    """Say that a part is not there: a failure in CI, where the set-up installs all parts, a skipped test elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (`scripts/services ensure` installs what the tests need)", pytrace=False)
    pytest.skip(what)
