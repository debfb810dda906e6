"""`make bench`: measures all parts, or those named, and shows what came of it.

    python -m bench [--quick] [--only ingest,lists]

Exit status 1 when something that is asked was missed or a part failed; the other parts still run. A
short look (--quick), or a part alone, leaves docs/performance.md as it is.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from bench import alerta, endurance, events, ingest, lists, road
from bench.figures import Outcome, Run
from bench.load import BenchFailed, check_tools
from bench.report import markdown, write_document, write_json
from bench.server import ROOT

PARTS: dict[str, Callable[..., Outcome]] = {
    "ingest": ingest.measure,
    "alerta": alerta.measure,
    "road": road.measure,
    "events": events.measure,
    "lists": lists.measure,
    "memory": endurance.memory,
    "storm": endurance.storm,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Groundswell.")
    parser.add_argument("--quick", action="store_true", help="a short look, rough figures")
    parser.add_argument("--only", help=f"parts, parted by commas, of: {', '.join(PARTS)}")
    chosen = parser.parse_args()
    names = chosen.only.split(",") if chosen.only else list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    try:
        check_tools()
    except BenchFailed as missing:
        print(missing, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started is stopped
    run = Run()
    command = " ".join(["make bench", *(f'ARGS="{a}"' for a in [_arguments()] if a)])
    for number, name in enumerate(names, start=1):
        began = time.monotonic()
        run.add(name, partial(PARTS[name], quick=chosen.quick))
        # After each part, should the run be cut short.
        write_json(ROOT / "build" / "bench.json", run)
        if not chosen.quick and not chosen.only:
            text = markdown(run, command, names[number:])
            write_document(ROOT / "docs" / "performance.md", text)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(markdown(run, command))
    for figure in run.missed:
        print(f"missed: {figure.name}: {figure.value:.3g}, asked {figure.asked}", file=sys.stderr)
    for name, why in run.failed.items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return run.status


def _arguments() -> str:
    return " ".join(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
