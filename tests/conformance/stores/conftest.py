"""The suite that ships with Laneway shows its assertions in full here."""

import pytest

for name in ("store_parts", "_store_leases", "_store_questions", "_store_runs"):
    pytest.register_assert_rewrite(f"laneway.testing.{name}")
