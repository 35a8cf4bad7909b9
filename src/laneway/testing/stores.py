"""What every store must do, as tests. Subclass `StoreSuite` in a test module and give it a `site` fixture.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        async def site(self, tmp_path):
            return MySite(tmp_path)

The tests are coroutines: run them with pytest-asyncio in its `auto` mode.
"""

from laneway.testing._store_artifacts import ArtifactCases
from laneway.testing._store_leases import LeaseCases
from laneway.testing._store_questions import QuestionCases
from laneway.testing._store_runs import RunCases
from laneway.testing.store_parts import (
    Site,
    committed,
    ended,
    opened,
    step,
    submission,
    text_id,
    written,
)

__all__ = [
    "ArtifactSuite",
    "Site",
    "StoreSuite",
    "committed",
    "ended",
    "opened",
    "step",
    "submission",
    "text_id",
    "written",
]


class StoreSuite(RunCases, LeaseCases, QuestionCases):
    """The suite; every test gets a `site`."""


class ArtifactSuite(ArtifactCases):
    """What a store that keeps artifacts must do; every test gets a `site`."""
