"""`POST /triggers/NAME`: one call becomes one run."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from laneway.app import Engine
from laneway.engine.trigger_records import Trigger, TriggerNotFound
from laneway.web._answers import Refused, log
from laneway.web._guard import check_secret, check_signature, unauthorized

__all__ = ["TriggerCalls"]

_BODY_SECONDS = 30.0
"""How long the body of a call may take to arrive."""


class TriggerCalls:
    """Takes the calls of HTTP triggers."""

    def __init__(self, engine: Engine, *, secret_of: Callable[[str], str | None], most_bytes: int) -> None:
        self._engine = engine
        self._secret_of = secret_of
        self._most_bytes = most_bytes

    async def call(self, request: Request) -> Response:
        """Start the trigger's workflow, and answer with the run's id; the same for a call that was taken before."""
        triggers = self._engine.scheduler.triggers
        trigger = await self._allowed(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            # Also what keeps foreign web pages out: browsers ask before they send JSON elsewhere, and get no consent.
            raise Refused(415, "the body must be application/json")
        body = await self._body(request)
        if trigger.signature:
            check_signature(request, trigger.signature, self._secret(trigger), body)
        handle = await triggers.fire(trigger, _decoded(body), key=request.headers.get("idempotency-key"))
        answer = {"run": handle.id, "new": handle.is_new, "trigger": trigger.name}
        return JSONResponse(answer, 202, headers={"Cache-Control": "no-store"})

    async def _allowed(self, request: Request) -> Trigger:
        """The trigger, if the caller may call it. Who may not learns nothing of which there are."""
        try:
            trigger = await self._engine.scheduler.triggers.http(request.path_params["name"])
        except TriggerNotFound:
            if not request.scope["laneway.may"]:
                raise unauthorized() from None
            raise
        if not trigger.secret:
            if not request.scope["laneway.may"]:
                raise unauthorized()
        elif not trigger.signature:
            check_secret(request, self._secret(trigger))
        return trigger

    def _secret(self, trigger: Trigger) -> str:
        secret = self._secret_of(trigger.secret)
        if not secret:
            log.error(
                "trigger %s needs the secret %r, which this server has not", trigger.name, trigger.secret
            )
            raise Refused(503, "this trigger cannot be called now; the server's log says why")
        return secret

    async def _body(self, request: Request) -> bytes:
        too_large = Refused(
            413, f"the body may have {self._most_bytes:,} bytes at most", {"Connection": "close"}
        )
        told = request.headers.get("content-length", "")
        if told.isdigit() and int(told) > self._most_bytes:
            raise too_large
        found = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for chunk in request.stream():
                    found += chunk
                    if len(found) > self._most_bytes:
                        raise too_large
        except TimeoutError:
            raise Refused(408, "the body did not arrive in time", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Refused(400, "the caller left") from None
        return bytes(found)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {str(error)[:200]}") from None
