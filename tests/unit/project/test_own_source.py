"""Our own source under our own review: what we tell others to mend is not to be found here."""

from pathlib import Path

import pytest

import laneway
from laneway.compat.review import review_file

SOURCE = Path(laneway.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


def test_the_source_is_there() -> None:
    assert len(FILES) > 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_our_own_source_passes_our_own_review(path: Path) -> None:
    assert [f"{one.line}: {one.rule} {one.message}" for one in review_file(path)] == []


def test_the_review_would_see_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "cache.py"
    path.write_text(
        "KNOWN = {}\n\n\ndef known(key):\n    if key not in KNOWN:\n"
        "        KNOWN[key] = len(key)\n    return KNOWN[key]\n"
    )
    assert [one.rule for one in review_file(path)] == ["FT204"]
