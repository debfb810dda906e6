"""What docs/senders.md gives to paste is what the code reads."""

import json
import re
from pathlib import Path

from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.mapping import mapping_of
from services.incidents.signals.adapters import datadog, generic
from services.standalone import document
from shared.clock import utc_now

TEXT = (Path(__file__).parents[2] / "docs" / "senders.md").read_text()
TO_PASTE = [json.loads(one) for one in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def test_datadogs_template_is_the_adapters() -> None:
    assert json.loads(datadog.TEMPLATE) in TO_PASTE


def test_the_mapping_reads_what_it_says() -> None:
    (mapping,) = [one for one in TO_PASTE if "each" in one]
    sender = mapping_of("docs", 1, MappingDocument.model_validate(mapping))
    alert = {"monitor": {"name": "Shop", "id": 7}, "state": "down", "check": {"location": "fra"}}
    (said,) = generic.parse(json.dumps({"alerts": [alert]}).encode(), utc_now(), sender)
    assert (said.fingerprint, getattr(said, "labels", None)) == ("7", {"location": "fra"})


def test_every_address_is_one() -> None:
    table = [line for line in TEXT.splitlines() if line.startswith("| ")]
    named = {one for line in table for one in re.findall(r"`(/[a-z0-9/{}_]+)", line.split("|")[2])}
    known = {re.sub(r"\{[a-z_]+\}", "{}", path) for path in document()["paths"]}
    assert len(named) >= 12
    assert {re.sub(r"\{[a-z_]+\}", "{}", path) for path in named} <= known
