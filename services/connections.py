"""One client's connection, with bounds that uvicorn doesn't set: how many, and how long for a head.

A client that connects and says nothing, or says its headers for ever, must not hold what others need.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared import metrics

HEAD_SECONDS = 20.0
"""From the first byte of a request, or from connecting, to the end of its headers."""
LARGEST_HEAD = 64 * 1024

_FULL = (
    b'{"type":"urn:groundswell:problem:too-many-connections","title":"Overloaded","status":503,'
    b'"detail":"Too many connections are open; nothing was done. Send it again in a second."}'
)
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
    b"retry-after: 1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_FULL), _FULL)
)


def connections(most: int) -> type[HttpToolsProtocol]:
    """uvicorn's connection, of which there are at most so many at once; one more is told 503."""

    class Connection(HttpToolsProtocol):
        _refused = False
        _in_head = True
        _head = 0
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._refused = len(self.connections) > most
            self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refused:
                metrics.connections_refused.inc()
                self.transport.write(FULL)
                self.transport.close()
                return
            super().data_received(data)
            if self._in_head:  # nearly always it has come whole, and no clock is needed
                if self._patience is None:
                    self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)
                self._head += len(data)
                if self._head > LARGEST_HEAD and not self.transport.is_closing():
                    self.send_400_response("The headers are too large; send less of them.")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head = True

        def on_headers_complete(self) -> None:
            self._head_came()
            super().on_headers_complete()

        def _head_came(self) -> None:
            self._in_head = False
            self._head = 0
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _give_up(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return Connection
