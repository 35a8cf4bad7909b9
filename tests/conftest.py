"""What every test may use. Fixtures live beside the tests that need them; only what all share belongs here."""

import signal
import threading

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine")  # what else the machine does says nothing about the code

for name in ("lanes", "store_parts", "_store_leases", "_store_questions", "_store_runs"):
    pytest.register_assert_rewrite(f"laneway.testing.{name}")  # before any test imports them


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start, also when the tests themselves were started in the background.

    A shell starts background jobs with SIGINT ignored, and ignored signals are inherited by every child.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that change from process to process: then processes that share the tests find different ones."""
    changing = [one.nodeid for one in items if " at 0x" in one.nodeid]
    if changing:
        raise pytest.UsageError(f"give these cases an id: {', '.join(changing)}")
