"""What a shell completes with: runs of the store, tasks of a run, workflows. Never an error, never a new store."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import click
from click.shell_completion import CompletionItem

from laneway._core.errors import LanewayError
from laneway._core.records import ENDED
from laneway.cli._screen import ago
from laneway.cli._stores import full_id, opened
from laneway.ports import Store

__all__ = ["UNFINISHED", "complete_runs", "complete_tasks", "complete_workflows"]

UNFINISHED = frozenset({"running", "suspended", "paused"})
_MOST = 200
_SECONDS = 2.0


def complete_runs(
    statuses: Collection[str] = ENDED | UNFINISHED,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Completes an argument with runs of those statuses, newest first, and `latest`."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        async def look(store: Store) -> list[CompletionItem]:
            rows = await store.read("runs", limit=_MOST)
            return [
                CompletionItem(row["id"], help=_about(row)) for row in rows if row["status"] in statuses
            ] + [CompletionItem("latest", help="the newest run")]

        return _found(ctx, incomplete, look)

    return complete


def complete_tasks(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes with the tasks of the run that the command names."""

    async def look(store: Store) -> list[CompletionItem]:
        run = await full_id(store, str(ctx.params.get("run") or "latest"))
        steps = await store.read("steps", run=run)
        return [CompletionItem(one) for one in dict.fromkeys(step["task"] for step in steps)]

    return _found(ctx, incomplete, look)


def complete_workflows(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes with the workflows of recent runs."""

    async def look(store: Store) -> list[CompletionItem]:
        rows = await store.read("runs", limit=_MOST)
        return [CompletionItem(one) for one in sorted({row["workflow"] for row in rows})]

    return _found(ctx, incomplete, look)


def _found(
    ctx: click.Context, incomplete: str, look: Callable[[Store], Awaitable[list[CompletionItem]]]
) -> list[CompletionItem]:
    async def answer() -> list[CompletionItem]:
        async with asyncio.timeout(_SECONDS), opened(ctx.params.get("store")) as store:
            return await look(store)

    try:
        items = asyncio.run(answer())
    except LanewayError, OSError, TimeoutError, ImportError:
        return []
    return [one for one in items if one.value.startswith(incomplete)]


def _about(row: dict[str, Any]) -> str:
    return f"{row['workflow']} {row['status']} {ago(time.time() - row['created'])}"
