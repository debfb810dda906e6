"""`groundswell run` with a profiler in it: SIGUSR1 starts it, SIGUSR2 ends it and writes its file."""

import cProfile
import signal
import sys

from services.cli import app

if __name__ == "__main__":
    profiler = cProfile.Profile()

    def begin(*_: object) -> None:
        profiler.enable()

    def end(*_: object) -> None:
        profiler.disable()
        profiler.dump_stats(sys.argv[1])

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    app(["run"])
