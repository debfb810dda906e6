"""What every bus promises, on a real broker: the same functions as on the other engines."""

import pytest

from shared.bus import KafkaBus
from tests.shared.test_bus_contract import *  # noqa: F403  its tests and fixtures
from tests.shared.test_bus_contract import QUICK, MakeBus


@pytest.fixture
def make_bus(servers: str) -> MakeBus:
    return lambda: KafkaBus(servers, QUICK)
