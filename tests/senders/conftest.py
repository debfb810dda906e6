"""What the tests with real senders share: a Groundswell per module, and logs beside a failure."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.senders.capture import Capture, capturing
from tests.senders.groundswell import Groundswell, groundswell
from tests.senders.programs import STARTED
from tests.senders.target import Target, target


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the end of every program's log beside a failure."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {one.name} ({one.log})", one.tail()) for one in STARTED]
    return report


@pytest.fixture(scope="module", autouse=True)
def own_programs() -> None:
    """A failure shows the programs of its own module."""
    STARTED.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what the programs of a module keep: data, configuration, logs."""
    return tmp_path_factory.mktemp("senders")


@pytest.fixture(scope="module")
def system(folder: Path) -> Generator[Groundswell]:
    """An empty Groundswell. An alert that fires again is a new incident, and expiry is not lenient."""
    with groundswell(folder, reopen_window_minutes="0", expiry_grace_seconds="2") as running:
        yield running


@pytest.fixture(scope="module")
def checkout() -> Generator[Target]:
    """The service that Prometheus watches; it is up."""
    with target() as one:
        yield one


@pytest.fixture(scope="module")
def webhook() -> Generator[Capture]:
    """Keeps what Alertmanager sends, byte for byte."""
    with capturing() as capture:
        yield capture


@pytest.fixture(scope="module")
def wire() -> Generator[Capture]:
    """Keeps what Prometheus sends, byte for byte."""
    with capturing() as capture:
        yield capture
