"""Log lines of a worker: those of attempts say that they ran on the celery lane, and where on this machine."""

import logging
from typing import Any

__all__ = ["AsCelery"]


class AsCelery(logging.Filter):
    """Gives each record of an attempt the lane that its engine knows; `place` is the lane of this machine."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record's context; every record passes."""
        context: dict[str, Any] | None = record.__dict__.get("laneway")
        if context is not None and "run" in context and "place" not in context:
            record.__dict__["laneway"] = {**context, "lane": "celery", "place": context["lane"]}
        return True
