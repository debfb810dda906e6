"""`groundswell run`, but what writes signals answers at once and writes nothing: what the rest costs.

Only the bench can do this. Everything else is as it is: key, limits, parsing, metrics, answer.
"""

from typing import Any

from services.cli import app
from services.incidents import app as incidents
from services.incidents.signals.continuing import Post
from services.incidents.signals.recording import Written

WRITTEN = Written("sig_bench", "inc_bench", repeat=True)


class AnswersAtOnce:
    """In the place of the writer."""

    waiting = 0

    def __init__(self, *_: Any, **__: Any) -> None: ...

    async def write(self, post: Post) -> list[Written]:
        return [WRITTEN] * len(post.signals)

    async def stop(self) -> None: ...


if __name__ == "__main__":
    incidents.Writer = AnswersAtOnce  # pyright: ignore[reportAttributeAccessIssue]
    app(["run"])
