"""What time does: memory over a million signals, and the rate over an hour's storm in minutes."""

from bench.bodies import Shape, first_posts, script, starting_now
from bench.contestants import POSTGRESQL, SQLITE, on_postgresql, on_sqlite
from bench.figures import Figure, Outcome, Table, number, ratio
from bench.load import Load, wrk
from bench.place import Place, place
from bench.rounds import check, prime
from bench.server import Server

CONNECTIONS = 16
FIFTHS = 5
AS_FAST = 0.9
WARM_SECONDS = 5
SLICE_SECONDS = 10.0
SETTLE_SECONDS = 60.0
ENGINES = {SQLITE: on_sqlite, POSTGRESQL: on_postgresql}


def memory(*, quick: bool) -> Outcome:
    """Signals until there are a million, or the time is over: then it says after how many."""
    wanted, slices = (20_000, 1) if quick else (1_000_000, 30)
    shown = Table("Memory", ("server", "signals", "MB before", "MB after", "seconds"))
    figures: list[Figure] = []
    for name, start in ENGINES.items():
        with place() as here:
            storm = _Storm(here, start(here), alerts=100)
            before = storm.server.rss_mb()
            signals = seconds = 0
            while signals < wanted and seconds < slices * SLICE_SECONDS:
                signals += storm.load(SLICE_SECONDS).requests * 100
                seconds += SLICE_SECONDS
            storm.server.settle(SETTLE_SECONDS)
            after = storm.server.rss_mb()
            numbers = map(number, (signals, before, after, seconds))
            shown.rows.append((name, *numbers))
            what = f"memory after {signals:,} signals: {name}"
            figures.append(Figure(what, after, "MB", f"{before:.0f} MB before"))
    shown.notes = ["100 alerts a request, 90 % repeats. Resident memory of the whole process."]
    return Outcome([shown], figures)


def storm(*, quick: bool) -> Outcome:
    """The load of an hour's storm without a pause, in five parts of which the first is the yardstick."""
    seconds = 4.0 if quick else 24.0
    parts = [f"{number}/{FIFTHS}, alerts/s" for number in range(1, FIFTHS + 1)]
    shown = Table("A storm", ("server", *parts, "last / first", "p99 ms in the last"))
    figures: list[Figure] = []
    for name, start in ENGINES.items():
        with place() as here:
            blowing = _Storm(here, start(here), alerts=10)
            loads = [blowing.load(seconds) for _ in range(FIFTHS)]
            kept = ratio(loads[-1].rate, loads[0].rate)
            rates = (number(load.rate * 10) for load in loads)
            shown.rows.append((name, *rates, number(kept), number(loads[-1].p99)))
            what = f"storm of {FIFTHS * seconds:.0f} s, {name}: rate of its last fifth"
            figures.append(Figure(what, kept, "×", "its first fifth", floor=AS_FAST))
    shown.notes = ["10 alerts a request, 90 % repeats, 16 connections, without a pause."]
    return Outcome([shown], figures)


class _Storm:
    """A server that is started, knows what repeats, is warm; every load brings new alerts."""

    def __init__(self, here: Place, server: Server, *, alerts: int) -> None:
        self.folder, self.server = here.folder, here.own(server).start()
        self.shape = Shape(alerts, 90, starting_now())
        self.count = 0
        prime(server, first_posts(self.shape, server.form))
        self.load(WARM_SECONDS)

    def load(self, seconds: float) -> Load:
        self.count += 1
        path = script(self.folder, self.shape, f"s{self.count}-")
        url = self.server.url + self.server.path
        seen = wrk(url, path, CONNECTIONS, seconds, self.server.key)
        check(self.server, seen)
        return seen
