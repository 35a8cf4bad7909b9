"""Answers as JSON: what went wrong, under the same codes as everywhere else."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from laneway._core.errors import (
    Backpressure,
    ContextError,
    KeyReused,
    LanewayError,
    StoreUnavailable,
    WorkflowInvalid,
)
from laneway.engine.trigger_records import TriggerBodyInvalid, TriggerNotFound, TriggerPaused

__all__ = ["Refused", "Unhealthy", "answer_to", "told"]

log = logging.getLogger("laneway.web")

_AGAIN = {"Retry-After": "1"}
_CLOSED = "LW-ENGINE-003"


class Refused(LanewayError):
    """A call that is not even looked at, with its HTTP status."""

    code = "LW-WEB-002"
    template = "{message}"

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message=message)
        self.status = status
        self.headers = headers


class Unhealthy(LanewayError):
    """The engine behind the web face is closed, or its store does not answer."""

    code = "LW-WEB-003"
    template = "the engine is closed, or its store does not answer; the server's log says more"


def told(
    status: int,
    code: str,
    message: str,
    problems: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """One error as JSON."""
    error: dict[str, object] = {"code": code, "message": message}
    if problems:
        error["problems"] = problems
    return JSONResponse({"error": error}, status, headers={"Cache-Control": "no-store", **(headers or {})})


def answer_to(request: Request, error: Exception) -> Response:
    """What a caller is told about an error. What only the program's owner can mend is written to the log."""
    if isinstance(error, Refused):
        return told(error.status, error.code, str(error), headers=error.headers)
    if isinstance(error, HTTPException):
        return told(error.status_code, Refused.code, error.detail, headers=dict(error.headers or {}))
    if isinstance(error, TriggerNotFound):
        return told(404, error.code, str(error))
    if isinstance(error, TriggerPaused):
        return told(503, error.code, str(error))
    if isinstance(error, TriggerBodyInvalid | WorkflowInvalid):
        return told(422, error.code, str(error), error.problems)
    if isinstance(error, ContextError):
        return told(422, error.code, str(error))
    if isinstance(error, KeyReused):
        return told(409, error.code, str(error))
    if isinstance(error, Backpressure):
        return told(429, error.code, str(error), headers=_AGAIN)
    if isinstance(error, StoreUnavailable) or getattr(error, "code", "") == _CLOSED:
        log.error("%s %s: %s", request.method, request.url.path, error)
        return told(503, StoreUnavailable.code, "the engine cannot take this now; try again", headers=_AGAIN)
    log.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    code = error.code if isinstance(error, LanewayError) else "LW-000"
    return told(500, code, "this could not be done; the server's log says why")
