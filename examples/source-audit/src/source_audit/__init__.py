"""Audit a tree of Python source: list the files, analyse each on its own, rank what was found, write two reports.

Context: `root` is the folder (or file) to audit, `out` the folder for the reports.
"""

from typing import Any

from laneway import Workflow, task
from source_audit.listing import python_files
from source_audit.measure import measure_file
from source_audit.ranking import rank_files
from source_audit.report import write_reports

__all__ = ["analyse", "list_files", "rank", "source_audit", "write_report"]


@task(lane="loop")
async def list_files(root: str) -> list[str]:
    """The Python files below `root`: absolute POSIX paths, sorted."""
    return await python_files(root)


@task(lane="interpreter", each="list_files", batch=8, cpu=True)
def analyse(path: str) -> dict[str, Any]:
    """One file's figures and findings. A file that cannot be read or parsed is a finding, not a failure."""
    return measure_file(path)


@task(lane="thread")
def rank(root: str, analyse: list[dict[str, Any]]) -> dict[str, Any]:
    """What all files together show: totals, the worst places, imports checked against each other."""
    return rank_files(root, analyse)


@task(lane="thread")
def write_report(out: str, rank: dict[str, Any], analyse: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the HTML and the Markdown report into `out`; return their paths and the ten most interesting findings."""
    return write_reports(out, rank, analyse)


source_audit = Workflow("source-audit", [list_files, analyse, rank, write_report])
