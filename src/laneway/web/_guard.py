"""Who may call: by token, by a trigger's secret, by signature, or from this machine alone."""

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from laneway.web._answers import Refused, answer_to

__all__ = ["Guard", "check_secret", "check_signature", "is_bearer"]

_SIGNED = "sha256="


class Guard:
    """Lets calls through to the application that may come in.

    With a token: those that have it. Without: those that come under a name of `hosts`, so that a web page that its
    visitors' browsers load cannot reach a server on their machine under a name of its own.

    Args:
        app: the application behind.
        token: see `laneway.web.application`.
        hosts: see there.
        open_paths: paths, or beginnings of paths, that look after callers themselves.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Sequence[str] | None, open_paths: Sequence[str]
    ) -> None:
        self._app = app
        self._token = token
        self._hosts = None if hosts is None else {one.lower() for one in hosts}
        self._open_paths = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        scope["laneway.may"] = self._token is None or is_bearer(request, self._token)
        try:
            self._check(request)
        except Refused as error:
            await answer_to(request, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, request: Request) -> None:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        is_open = any(path == one or (one.endswith("/") and path.startswith(one)) for one in self._open_paths)
        if not request.scope["laneway.may"] and not is_open:
            raise unauthorized()
        if self._token is None and self._hosts is not None:
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
            if host not in self._hosts:
                raise Refused(421, f"nothing is served under the name {host[:80]!r}")


def unauthorized() -> Refused:
    """What a caller without the token is told."""
    return Refused(
        401, "this needs a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": 'Bearer realm="laneway"'}
    )


def is_bearer(request: Request, secret: str) -> bool:
    """Whether the caller sent that secret. Takes as long for any wrong one."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and _same(given.strip(), secret)


def check_secret(request: Request, secret: str) -> None:
    """Return if the caller knows a trigger's secret.

    Raises:
        Refused: it does not.
    """
    if not is_bearer(request, secret):
        raise unauthorized()


def check_signature(request: Request, header: str, secret: str, body: bytes) -> None:
    """Return if the header signs the body: `sha256=` and the HMAC in hexadecimal digits.

    Raises:
        Refused: it does not.
    """
    given = request.headers.get(header, "")
    right = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not given.lower().startswith(_SIGNED) or not _same(given[len(_SIGNED) :].lower(), right):
        raise Refused(401, f"the header {header} does not sign this body")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
