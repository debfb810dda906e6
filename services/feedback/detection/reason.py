"""A reason: what a detector saw, in a sentence and in the numbers behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a theme rose, or why it did not. `text` states each threshold beside the value."""

    detector: str
    name: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_json(self) -> dict[str, object]:
        """Plain values, as events and answers carry them."""
        return {
            "detector": self.detector,
            "name": self.name,
            "text": self.text,
            "numbers": dict(self.numbers),
        }
