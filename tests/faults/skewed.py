"""Runs a command of Groundswell with a wrong clock: `python -m tests.faults.skewed SECONDS serve …`."""

import sys
from datetime import datetime, timedelta

from shared import clock


def skew(seconds: float) -> None:
    """Move the clock of this process. Before anything else of the product is imported."""
    right = clock.utc_now

    def wrong() -> datetime:
        return right() + timedelta(seconds=seconds)

    clock.utc_now = wrong


def main() -> None:
    skew(float(sys.argv[1]))
    from services.cli import app

    sys.argv = ["groundswell", *sys.argv[2:]]
    app()


if __name__ == "__main__":
    main()
