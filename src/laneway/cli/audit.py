"""`laneway audit`: verify and show an audit log."""

from pathlib import Path
from typing import Any

import rich_click as click

from laneway._core.errors import SettingInvalid
from laneway.cli import _screen as screen
from laneway.cli._errors import FAILED
from laneway.cli._options import debug_option, json_option
from laneway.observe.audit import chosen, entries
from laneway.observe.audit import verify as verify_log
from laneway.settings import settings_from

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """Verify and show the audit log: who did what, when, and what was refused.

    An engine keeps one if LANEWAY_AUDIT names a folder, or the program says `Engine(audit=...)`.
    """


@audit.command("verify")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--anchor", metavar="N:HASH", help="An entry that an earlier `verify` told: it must still be there."
)
@json_option
@debug_option
@click.pass_context
def verify(ctx: click.Context, folder: Path | None, anchor: str | None, as_json: bool) -> None:
    """Check that no entry was changed, removed, moved or put in. Exit status 1 if one was.

    Keep the last line's number and hash somewhere else: `--anchor` then shows that even somebody who may write the
    folder has not made the log anew.
    """
    found = verify_log(_folder(folder), anchor=_anchor(anchor))
    if as_json:
        screen.print_json(
            {
                "intact": found.is_intact,
                "entries": found.entries,
                "files": found.files,
                "hash": found.hash,
                "problems": [one._asdict() for one in found.problems],
            }
        )
    else:
        for one in found.problems:
            place = f"{one.file}:{one.line}" if one.line else one.file or "the log"
            screen.output().print(f"{place}: {one.reason}", soft_wrap=True)
        verdict = "intact" if found.is_intact else f"{len(found.problems)} problems"
        screen.output().print(
            f"{verdict}: {found.entries} entries, the last {found.entries}:{found.hash}", soft_wrap=True
        )
    ctx.exit(0 if found.is_intact else FAILED)


@audit.command("show")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--what", help="Only entries of this kind, such as policy_violation.")
@click.option("--run", help="Only entries about this run, or runs whose id begins so.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, the latest ones."
)
@json_option
@debug_option
def show(folder: Path | None, what: str | None, run: str | None, limit: int, as_json: bool) -> None:
    """Show entries, oldest first. What is shown is not checked: `verify` does that."""
    found = list(chosen(entries(_folder(folder)), what=what, run=run))[-limit:]
    if as_json:
        screen.print_json(found)
        return
    screen.print_table(
        ["entry", "when", "who", "what", "decision", "about"],
        [
            [
                str(one.get("seq", "")),
                str(one.get("at", "")),
                screen.without_controls(_who(one)),
                screen.without_controls(str(one.get("what", ""))),
                screen.without_controls(str(one.get("decision", ""))),
                screen.without_controls(_about(one)),
            ]
            for one in found
        ],
        right=["entry"],
    )


_SHOWN = frozenset({"at", "decision", "hash", "prev", "seq", "what", "who"})


def _who(entry: dict[str, Any]) -> str:
    who: dict[str, Any] = entry.get("who") or {}
    return f"{who.get('user', '?')} (pid {who.get('pid', '?')})"


def _about(entry: dict[str, Any]) -> str:
    return " ".join(
        f"{key}={value}" for key, value in entry.items() if key not in _SHOWN and value is not None
    )


def _folder(given: Path | None) -> Path:
    folder = given or Path(settings_from().audit or "")
    if (given or settings_from().audit) and folder.is_dir():
        return folder
    raise SettingInvalid(
        setting="LANEWAY_AUDIT",
        value=str(given or settings_from().audit),
        reason="there is no audit log",
        advice="Name its folder, or set LANEWAY_AUDIT.",
    )


def _anchor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if number.isdigit() and len(digest) == 64:
        return int(number), digest
    raise SettingInvalid(
        setting="--anchor",
        value=text,
        reason="it is not NUMBER:HASH",
        advice="Copy what `laneway audit verify` ends with.",
    )
