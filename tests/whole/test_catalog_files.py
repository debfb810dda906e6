"""Catalog files that no honest repository holds: refused in a sentence, and nothing of them kept."""

import pytest

from tests.whole.system import System, check_refusal, rows
from tests.whole.things import Things

NAMED = "kind: Component\nmetadata:\n  name: {}\n"
MARKED = NAMED.format("x") + "  annotations:\n    {}\n"
BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(8)
)
FILES = {
    "nothing": "",
    "no YAML": "a: b: c",
    "half a character": NAMED.format('"\\ud800"'),
    "a NUL": NAMED.format('"\\0"'),
    "a blank name": NAMED.format('" "'),
    "a number for a name": NAMED.format("12"),
    "half a character in the system": NAMED.format("x") + 'spec:\n  system: "\\ud800"\n',
    "a NUL in a dependency": NAMED.format("x") + 'spec:\n  dependsOn: ["component:\\0"]\n',
    "half a character in an alias": MARKED.format('groundswell.dev/aliases: "\\ud800"'),
    "aliases that are no text": MARKED.format("groundswell.dev/aliases: [a, b]"),
    "too many aliases": MARKED.format(f"groundswell.dev/aliases: {'a,' * 51}a"),
    "an unknown tier": MARKED.format("tier: 5"),
    "a tier of many digits": MARKED.format(f"tier: 1{'0' * 5000}"),
    "a tier that is a list": MARKED.format("tier: [1]"),
    "no time": "!!timestamp x",
    "no truth": "!!bool x",
    "no number": '!!int ""',
    "no decimal": '!!float ""',
    "a program": "!!python/object/apply:os.system [id]",
    "deep": "a: " + "[" * 3000,
    "a bomb": BOMB,
    "a good one, then a bad one": NAMED.format("good") + "---\n" + NAMED.format("[]"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_enters_no_service(name: str, system: System, things: Things) -> None:
    before = rows(system)
    with system.client() as client:
        headers = {"Content-Type": "application/yaml"}
        answer = client.post("/v1/catalog/import", content=FILES[name].encode(), headers=headers)
    assert answer.status_code == 422, answer.text
    assert len(check_refusal(answer)["detail"]) < 600
    assert rows(system) == before
