"""Writes the golden schemas: what each event looked like when it was published first.

    python tests/contracts/golden.py

A change that an older reader could not read is refused: publish a `.v2` beside the `.v1` instead.
"""

import json
import sys
from pathlib import Path

import jsoncompat

from shared.contracts import EVENTS, Contract

GOLDEN = Path(__file__).parents[2] / "shared" / "contracts" / "golden"


def schema_of(contract: type[Contract]) -> str:
    """The JSON schema of what is written for this event, as text."""
    schema = contract.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def readable_by_old(old: str, new: str) -> bool:
    """Whether everything written by the new schema can be read by a reader of the old one."""
    return jsoncompat.check_compat(old, new, "serializer")


def main() -> int:
    GOLDEN.mkdir(exist_ok=True)
    broken = 0
    for name, contract in EVENTS.items():
        path, new = GOLDEN / f"{name}.json", schema_of(contract)
        if path.exists() and not readable_by_old(path.read_text(), new):
            print(f"{name}: an older reader could not read this; publish a .v2 beside it")
            broken += 1
        else:
            path.write_text(new)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
