"""A new package that works: manifest, two tasks, a test that passes at once."""

import keyword
import re
from pathlib import Path

from laneway._core.errors import PackageUnreadable
from laneway.packages._tables import MANIFEST as SHAPE
from laneway.packages.manifest import MANIFEST_NAME, RESERVED, read_manifest
from laneway.packages.shapes import problems_of

__all__ = ["new_package"]

_MANIFEST = """\
[package]
name = "{name}"
version = "0.1.0"
entry_module = "{module}"
requires-python = ">=3.14"
description = "Counts words."

# Distributions to vendor: `laneway package vendor`
# [dependencies]
# attrs = ">=25"

# What tasks may do beyond computing; everything else is refused.
# [policy]
# network = ["api.example.org:443"]
# filesystem.read = ["data"]

[limits]
wall_seconds = 60
"""

_CODE = '''\
"""Counts the words of a text."""

from laneway import Workflow, task


@task
def words(text: str) -> list[str]:
    """The words of the run's `text`, in lower case."""
    return text.lower().split()


@task(cpu=True)
def counts(words: list[str]) -> dict[str, int]:
    """How often each word occurs. The parameter `words` is the result of the task of that name."""
    found: dict[str, int] = {{}}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


flow = Workflow("{name}", [words, counts])
'''

_TEST = '''\
"""Run with `python -m pytest`."""

import laneway

from {module} import counts, flow, words


def test_tasks_are_plain_functions() -> None:
    assert counts(words("To be or not to be")) == {{"to": 2, "be": 2, "or": 1, "not": 1}}


def test_workflow_counts_words() -> None:
    result = laneway.run(flow, {{"text": "To be or not to be"}})
    assert result.context["counts"]["be"] == 2
'''

_README = """\
# {name}

    python -m pytest                                    # the tests
    laneway tasks .                                     # the tasks, with their lanes and why
    laneway run . -c text="to be or not to be"       # a run
    laneway package build                               # one file to share: {name}-0.1.0.lane
"""

_PYTEST = "[pytest]\npythonpath = src vendor\ntestpaths = tests\n"


def new_package(path: Path, name: str | None = None) -> Path:
    """Make a package folder; returns its path.

    Args:
        path: the folder to make; its last part names the package unless `name` does.
        name: the package's name.

    Raises:
        PackageUnreadable: there is something already, the name will not do, or the folder cannot be written.
    """
    root = Path(path).expanduser().absolute()
    chosen = name or root.name
    module = re.sub(r"\W+", "_", chosen, flags=re.ASCII).strip("_").lower()
    if module in RESERVED or keyword.iskeyword(module):
        module = f"{module}_tasks"
    manifest = _MANIFEST.format(name=chosen, module=module)
    found = [*problems_of(SHAPE, {"package": {"name": chosen, "version": "0.1.0", "entry_module": module}})]
    if found or not module.isidentifier():
        what = found[0].message if found else "must begin with a letter"
        raise PackageUnreadable(package=chosen, reason=f"the name {what}", advice="Give --name NAME")
    read_manifest(manifest.encode(), source=MANIFEST_NAME)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise PackageUnreadable(
            package=chosen, reason=f"{str(root)!r} is there already", advice="Choose another folder"
        )
    files = {
        MANIFEST_NAME: manifest,
        f"src/{module}.py": _CODE.format(name=chosen),
        f"tests/test_{module}.py": _TEST.format(module=module),
        "README.md": _README.format(name=chosen),
        "pytest.ini": _PYTEST,
        ".gitignore": "__pycache__/\n*.lane\n",
    }
    try:
        for relative, text in files.items():
            (root / relative).parent.mkdir(parents=True, exist_ok=True)
            (root / relative).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = f"{str(root)!r} cannot be written ({error.strerror})"
        raise PackageUnreadable(package=chosen, reason=reason, advice="Choose another folder") from error
    return root
