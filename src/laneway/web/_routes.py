"""The application: which path is answered by what."""

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laneway import __version__
from laneway._core.errors import LanewayError
from laneway.app import Engine
from laneway.web._answers import Unhealthy, answer_to, log, told
from laneway.web._guard import Guard
from laneway.web._triggers import TriggerCalls

__all__ = ["build"]

_HEALTH_SECONDS = 5.0


def build(
    engine: Engine,
    *,
    token: str | None,
    hosts: Sequence[str] | None,
    secret_of: Callable[[str], str | None],
    most_bytes: int,
) -> Starlette:
    """The application; see `laneway.web.application`."""
    looks = _Looks(engine, engine.metrics)
    calls = TriggerCalls(engine, secret_of=secret_of, most_bytes=most_bytes)
    guard = Middleware(Guard, token=token, hosts=hosts, open_paths=["/health", "/triggers/"])
    return Starlette(
        routes=[
            Route("/health", looks.health, methods=["GET"]),
            Route("/metrics", looks.metrics, methods=["GET"]),
            Route("/triggers/{name:path}", calls.call, methods=["POST"]),
        ],
        middleware=[guard],
        exception_handlers={404: answer_to, 405: answer_to, LanewayError: answer_to, Exception: answer_to},
    )


class _Looks:
    """What tells of the engine."""

    def __init__(self, engine: Engine, registry: CollectorRegistry) -> None:
        self._engine = engine
        self._registry = registry

    async def health(self, request: Request) -> Response:
        """200 while the engine is open and its store answers, else 503."""
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                await self._engine.scheduler.triggers.all()
        except (LanewayError, TimeoutError) as error:
            log.error("not healthy: %s", str(error) or "the store does not answer")
            return told(503, Unhealthy.code, str(Unhealthy()))
        leads = self._engine.scheduler.leads
        return JSONResponse({"status": "ok", "version": __version__, "schedules": leads})

    async def metrics(self, request: Request) -> Response:
        """The engine's metrics for Prometheus."""
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": kind, "Cache-Control": "no-store"})
