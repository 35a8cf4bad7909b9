"""The web face of an engine: an ASGI application for `laneway serve`, or to mount in a program (extra `web`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from laneway._core.errors import LanewayError
from laneway.app import Engine

__all__ = ["LOOPBACK", "MOST_BODY_BYTES", "WebUnavailable", "application"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names under which a program of this machine is called."""
MOST_BODY_BYTES = 1_048_576


class WebUnavailable(LanewayError):
    """What the web face needs is not installed."""

    code = "LW-WEB-001"
    template = "the web face needs Starlette and uvicorn ({reason}): pip install 'laneway[web]'"


def application(
    engine: Engine,
    *,
    token: str | None = None,
    hosts: Sequence[str] | None = LOOPBACK,
    secrets: Callable[[str], str | None] | Mapping[str, str] | None = None,
    most_body_bytes: int = MOST_BODY_BYTES,
) -> Any:
    """An ASGI application for an open engine: `GET /health`, `GET /metrics` and `POST /triggers/NAME`.

    Make it before the engine's first run: metrics count from then on.

    Args:
        engine: an open engine; it stays the program's to close.
        token: what callers must send as `Authorization: Bearer TOKEN`, all but those of `/health` and of triggers with
            a secret of their own. None asks for nothing: then only the names in `hosts` are answered.
        hosts: names this is called by, for as long as there is no token: others are those of a web page that lets its
            visitors' browsers call here. None answers any name, for programs that look after that themselves.
        secrets: of triggers, by name.
        most_body_bytes: how large the body of a call may be.

    Raises:
        WebUnavailable: Starlette is not installed.
    """
    try:
        # An optional dependency: only who asks for the face needs it.
        from laneway.web._routes import build  # noqa: PLC0415
    except ImportError as error:
        raise WebUnavailable(reason=str(error)) from error

    def secret_of(name: str) -> str | None:
        if secrets is None:
            return None
        return secrets(name) if callable(secrets) else secrets.get(name)

    return build(engine, token=token, hosts=hosts, secret_of=secret_of, most_bytes=most_body_bytes)
