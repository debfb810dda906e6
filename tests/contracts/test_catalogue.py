"""The catalogue says what is, and its committed copies are what it says."""

import json
from pathlib import Path

import pytest

from services import events
from shared.contracts import EVENTS
from shared.version import VERSION

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_page_is_the_generated_one() -> None:
    assert (DOCS / "events.md").read_text() == events.markdown(), "run `make documents`"


def test_the_committed_asyncapi_document_is_the_generated_one() -> None:
    committed = json.loads((DOCS / "asyncapi.json").read_text())
    assert committed == events.asyncapi(VERSION), "run `make documents`"


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_every_event_says_what_it_means_in_words_of_its_own(name: str) -> None:
    assert EVENTS[name].__dict__.get("__doc__")


def test_every_subscription_names_known_events_of_its_topics() -> None:
    for sub in events.subscriptions():
        assert sub.types <= set(EVENTS)
        assert {EVENTS[name].TOPIC for name in sub.types} == set(sub.topics)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = events.asyncapi(VERSION)

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [r for value in node.values() for r in references(value)]
        return [r for value in node for r in references(value)] if isinstance(node, list) else []

    for reference in references(document):
        node: object = document
        for step in reference.removeprefix("#/").split("/"):
            assert isinstance(node, dict), reference
            assert step in node, reference
            node = node[step]
