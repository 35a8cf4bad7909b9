"""The suite that ships with Laneway shows its assertions in full here."""

import pytest

pytest.register_assert_rewrite("laneway.testing.stores")
