"""Commands have effect once: each carried a mark that nobody else sent, which is counted here."""

from collections import Counter
from collections.abc import Iterator, Mapping

from tests.faults.stored import Stored


def effects(stored: Stored) -> Counter[tuple[str, str]]:
    """How often each (kind, mark) is stored; votes count under the mark of their feedback."""
    found: Counter[tuple[str, str]] = Counter()
    for kind, table in (("incident", "incidents"), ("candidate", "candidates"), ("item", "items")):
        found.update((kind, row.title) for row in stored[table])
    found.update(("alert", row.alert_name) for row in stored["incidents"] if row.alert_name)
    found.update(
        ("comment", row.data.get("kept", {}).get("text", ""))
        for row in stored["timeline"]
        if row.kind == "commented"
    )
    for row in stored["feedback"]:
        found["feedback", row.text] += 1
        found[f"vote {row.text}", ""] += row.votes
    return found


def broken(
    acknowledged: Mapping[str, str], uncertain: Mapping[str, str], stored: Stored
) -> Iterator[str]:
    """What was acknowledged and is not stored, or is stored more than once."""
    found = effects(stored)
    for mark, kind in acknowledged.items():
        if not kind.startswith("vote") and found[kind, mark] != 1:
            yield f"{kind} {mark} was acknowledged, and is stored {found[kind, mark]} times"
    for mark, kind in uncertain.items():
        if not kind.startswith("vote") and found[kind, mark] > 1:
            yield f"{kind} {mark} was never acknowledged, and is stored {found[kind, mark]} times"
    sure = Counter(kind for kind in acknowledged.values() if kind.startswith("vote"))
    unsure = Counter(kind for kind in uncertain.values() if kind.startswith("vote"))
    for vote in sure.keys() | unsure.keys():
        counted = found[vote, ""]
        if not sure[vote] <= counted <= sure[vote] + unsure[vote]:
            yield f"{vote}: {counted} counted, {sure[vote]} acknowledged, {unsure[vote]} unsure"


def lost_and_doubled(acknowledged: Mapping[str, str], stored: Stored) -> tuple[int, int]:
    """Of the acknowledged commands: how many left no effect, how many more than one."""
    found = effects(stored)
    counts = [found[kind, m] for m, kind in acknowledged.items() if not kind.startswith("vote")]
    return sum(count == 0 for count in counts), sum(count > 1 for count in counts)
