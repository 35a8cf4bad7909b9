"""Facts about the project itself: what it requires, which versions its CI names, where its code is."""

import re
import tomllib
from pathlib import Path
from typing import Any, cast

__all__ = ["facts_of"]

_VERSION = re.compile(r"(?<![\d.])3\.(?:9|1\d)t?(?![\d])")
_CI = (
    ".github/workflows/*.y*ml",
    ".gitlab-ci.yml",
    "tox.ini",
    "noxfile.py",
    ".circleci/config.yml",
    "azure-pipelines.yml",
)


def facts_of(root: Path, *, baseline: Path | None) -> dict[str, Any]:
    """What the checklist is filled from. Files that cannot be read say nothing."""
    facts: dict[str, Any] = {}
    try:
        project: Any = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project")
        if isinstance(project, dict) and "requires-python" in project:
            facts["requires_python"] = str(cast("dict[str, Any]", project)["requires-python"])
    except OSError, UnicodeDecodeError, tomllib.TOMLDecodeError:
        pass
    versions: set[str] = set()
    for pattern in _CI:
        for file in root.glob(pattern):
            try:
                versions.update(_VERSION.findall(file.read_text(encoding="utf-8")))
            except OSError, UnicodeDecodeError:
                continue
    if versions:
        facts["ci_versions"] = sorted(versions, key=lambda one: (int(one.rstrip("t").partition(".")[2]), one))
    if baseline is not None and baseline.is_file():
        facts["baseline"] = baseline.name
    return facts
