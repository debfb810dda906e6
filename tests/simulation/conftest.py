"""Which seeds are simulated: `--seed=N` for one, `--seeds=N` for the first N, else a few."""

import asyncio
from pathlib import Path

import pytest

from tests.simulation.world import template

USUAL_SEEDS = 16


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="simulate this seed alone")
    parser.addoption("--seeds", type=int, help="simulate so many seeds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed", None)
        count = metafunc.config.getoption("--seeds", None) or USUAL_SEEDS
        metafunc.parametrize("seed", [one] if one is not None else range(count))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrated, empty databases, made once."""
    return asyncio.run(template(tmp_path_factory.mktemp("empty")))
