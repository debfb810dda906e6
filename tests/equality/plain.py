"""Makes two dumps comparable, and shows where they differ."""

import difflib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

ID = re.compile(r"\b[a-z]{3}_[0-9A-Za-z]{20,}\b")
DIGITS = 6
LONGEST_DIFF = 120


def plain(value: Any, names: Mapping[str, str] | None = None) -> Any:
    """Times as text, numbers rounded, and ids as what they stand for."""
    called = names or {}
    match value:
        case datetime():
            return value.isoformat()
        case float():
            return float(f"{value:.{DIGITS}g}")
        case str():
            return ID.sub(lambda found: called.get(found[0], found[0][:3]), value)
        case Mapping():
            return {str(name): plain(one, called) for name, one in value.items()}
        case list() | tuple():
            return [plain(one, called) for one in value]
        case _:
            return value


def difference(one: Any, other: Any, names: tuple[str, str]) -> str:
    """The lines that differ, with a little around them; empty when there are none."""
    texts = [json.dumps(side, indent=1, sort_keys=True).splitlines() for side in (one, other)]
    found = list(difflib.unified_diff(*texts, *names, lineterm="", n=2))
    rest = [f"… and {len(found) - LONGEST_DIFF} more lines"] if len(found) > LONGEST_DIFF else []
    return "\n".join(found[:LONGEST_DIFF] + rest)
