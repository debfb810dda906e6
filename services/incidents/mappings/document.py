"""The mapping document as its author writes it: strict and bounded, an error names its place."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)

from services.incidents.mappings.paths import LONGEST, compiled
from shared.contracts.incidents import Severity
from shared.http.fields import Body

MOST_WORDS = 64
MOST_LABELS = 64


def _path(text: str) -> str:
    compiled(text)
    return text


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain a NUL character; remove it")
    return text


PathText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST),
    AfterValidator(_path),
    Field(
        description="a JSONPath (RFC 9535) without `..` and functions", examples=["$.check.name"]
    ),
]
Word = Annotated[str, StringConstraints(max_length=256), AfterValidator(_no_nul)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_no_nul)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_no_nul)]
State = Literal["firing", "resolved", "acknowledged"]
Place = Literal["alert", "body"]


class Where(Body):
    path: PathText
    of: Annotated[Place, Field(description="what `$` is: the alert, or the whole body")] = "alert"


class Taken(Where):
    """What stands at a path. `values` puts our words for the sender's, whatever their case."""

    values: Annotated[dict[Word, Text], Field(max_length=MOST_WORDS)] = {}
    default: Annotated[
        Text | None, Field(description="when nothing is there, or a word that `values` lacks")
    ] = None


class TakenState(Where):
    values: Annotated[dict[Word, State], Field(max_length=MOST_WORDS)] = {}
    default: State | None = None


class TakenSeverity(Where):
    values: Annotated[dict[Word, Severity], Field(max_length=MOST_WORDS)] = {}
    default: Severity | None = None


class Fixed(Body):
    """The same for every alert."""

    const: Text


class FixedState(Body):
    const: State


class FixedSeverity(Body):
    const: Severity


def _kind(value: object) -> str:
    """Which form of a rule this is, whether it comes as JSON or as a model."""
    if isinstance(value, str):
        return "path"
    if isinstance(value, dict):
        return "const" if "const" in value else "rule"
    return "const" if isinstance(value, Fixed | FixedState | FixedSeverity) else "rule"


Rule = Annotated[
    Annotated[PathText, Tag("path")]
    | Annotated[Taken, Tag("rule")]
    | Annotated[Fixed, Tag("const")],
    Discriminator(_kind),
]
StateRule = Annotated[
    Annotated[PathText, Tag("path")]
    | Annotated[TakenState, Tag("rule")]
    | Annotated[FixedState, Tag("const")],
    Discriminator(_kind),
]
SeverityRule = Annotated[
    Annotated[PathText, Tag("path")]
    | Annotated[TakenSeverity, Tag("rule")]
    | Annotated[FixedSeverity, Tag("const")],
    Discriminator(_kind),
]


class MappingDocument(Body):
    """Where each field of a signal stands in the sender's body. Only `title` is needed.

    A rule is a JSONPath, or an object with `path` and more, or one with `const`.
    """

    each: Annotated[
        PathText | None,
        Field(
            description="the alerts of a body, or the list of them; left out: the body itself, or"
            " its elements if it is a list",
            examples=["$.alerts"],
        ),
    ] = None
    title: Rule
    fingerprint: Annotated[
        Rule | None,
        Field(
            description="what tells the alert from the sender's others, the same when it ends; left"
            " out: made from service, alert_name (or the title without its numbers) and labels"
        ),
    ] = None
    status: Annotated[
        StateRule | None, Field(description="firing, resolved or acknowledged; left out: firing")
    ] = None
    severity: Annotated[
        SeverityRule | None,
        Field(description="left out, or a word nobody knows: by the labels, else medium"),
    ] = None
    service: Annotated[Rule | None, Field(description="left out: by the labels")] = None
    starts_at: Annotated[
        Rule | None, Field(description="RFC 3339, or seconds or milliseconds since 1970")
    ] = None
    ends_at: Annotated[Rule | None, Field(description="counts for a resolved alert only")] = None
    alert_name: Rule | None = None
    description: Rule | None = None
    url: Rule | None = None
    labels: Annotated[
        Annotated[PathText, Tag("path")]
        | Annotated[dict[LabelName, Rule], Field(max_length=MOST_LABELS), Tag("rules")],
        Discriminator(lambda value: "path" if isinstance(value, str) else "rules"),  # pyright: ignore[reportUnknownLambdaType]
        Field(
            description="a rule for each name, or one path to an object, every plain value of which"
            " becomes a label"
        ),
    ] = {}
    acknowledged_by: Rule | None = None
    acknowledged_at: Rule | None = None
