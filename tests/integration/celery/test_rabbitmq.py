"""The celery lane on RabbitMQ: what depends on the broker."""

from collections.abc import Iterator

import pytest
from brokers import Broker, RabbitServer
from celery_losses import Losses

from laneway.testing.lanes import LaneConformance

pytestmark = pytest.mark.rabbitmq


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    server = RabbitServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


class TestLane:
    """Of what every lane must do, what crosses the broker; all of it is shown with Redis."""

    _run = LaneConformance._run
    _value = LaneConformance._value
    _failure = LaneConformance._failure
    _both = LaneConformance._both
    test_values = LaneConformance.test_value_of_functions_and_coroutines_comes_back
    test_text = LaneConformance.test_unicode_and_escapes_survive
    test_sizes = LaneConformance.test_every_payload_size_comes_back_whole
    test_concurrency = LaneConformance.test_concurrent_orders_get_their_own_outcomes
    test_failures = LaneConformance.test_failure_carries_chain_notes_and_source_lines
    test_time_limit = LaneConformance.test_time_limit_ends_a_cooperative_attempt
    test_cancelling = LaneConformance.test_cancelling_stops_the_attempt
    test_closing = LaneConformance.test_closing_twice_is_harmless


class TestLosses(Losses):
    """Workers that die, and a broker that keeps its queues and hands out again what was not acknowledged."""
