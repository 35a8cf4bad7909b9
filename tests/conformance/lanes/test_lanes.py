"""The lane conformance suite on every built-in lane."""

from laneway.testing.lanes import LaneConformance


class TestLanes(LaneConformance):
    """Runs with the `lane` fixture of this folder: one lane per parameter."""
