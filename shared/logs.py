"""Structured logs: one event a line, with the ids of the request in hand. Never bodies, keys, tokens."""

import logging
import sys
from contextvars import ContextVar
from typing import Literal

import structlog

REQUEST_ID: ContextVar[str] = ContextVar("groundswell_request_id")
"""The request in hand. Set and reset for each one, which structlog's own way makes dear."""


def _with_request_id(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if request_id := REQUEST_ID.get(""):
        event.setdefault("request_id", request_id)
    return event


def configure(style: Literal["console", "json"], level: str = "INFO") -> None:
    """Set up logging for the process, for our code and for libraries alike."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[structlog.typing.Processor]
    if style == "json":
        tracebacks = structlog.processors.ExceptionRenderer(
            # Local variables hold bodies and keys, and take seconds to print.
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        )
        renderers = [tracebacks, structlog.processors.JSONRenderer()]
    else:
        renderers = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
