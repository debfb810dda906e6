"""The sender of the crash walk: plain sockets, no thread and no loop, so that its process may fork.

It asks again what was not acknowledged, as a sender would, and writes the history of it. What an
answer itself shows to be wrong (a refusal, another answer to the same question) it collects.
"""

import http.client
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from tests.faults.crash_story import Answer, Ask
from tests.faults.history import History, Op, Type

ANSWER_SECONDS = 20.0
AGAIN = frozenset({429, 503})
UNSURE_FROM = 500

COMING_AND_GOING = (ConnectionError, http.client.HTTPException, TimeoutError)


class Gone(Exception):
    """The other side died on us; what was under way may or may not have happened."""


@dataclass
class Client:
    """One sender's connections to whichever life listens on the port."""

    port: int
    history: History
    key: str = ""
    wrong: list[str] = field(default_factory=list[str])
    acknowledged: dict[str, str] = field(default_factory=dict[str, str])
    """Marks of the commands that were acknowledged, and what kind of thing each is."""
    uncertain: dict[str, str] = field(default_factory=dict[str, str])
    """The same, of those that were sent and never acknowledged."""
    to_read_back: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Alerts that were acknowledged in this life, as (fingerprint, stored id)."""
    _open: list[http.client.HTTPConnection] = field(
        default_factory=list[http.client.HTTPConnection]
    )

    def hang_up(self) -> None:
        for one in self._open:
            one.close()
        self._open.clear()

    def ask(self, asks: list[Ask]) -> dict[int, Answer]:
        """One attempt at all of them at once; the answers of those that were acknowledged, by place.

        Raises Gone, with the answers so far as its argument, when the other side dies meanwhile.
        """
        done: dict[int, Answer] = {}
        sent: list[int] = []
        gone: BaseException | None = None
        for place, ask in enumerate(asks):
            self._note(ask, "invoke")
            if ask.mark:
                self.uncertain.setdefault(ask.mark, ask.kind)
            try:
                self._send(place, ask)
                sent.append(place)
            except COMING_AND_GOING as error:
                self._note(ask, "info", error=type(error).__name__)
                gone = error
        for place in sent:
            ask = asks[place]
            try:
                answer = self._open[place].getresponse()
                text = answer.read()
            except COMING_AND_GOING as error:
                self._note(ask, "info", error=type(error).__name__)
                gone = error
            else:
                self._judge(place, ask, answer.status, text, done)
        if gone is not None:
            self.hang_up()
            raise Gone(done) from gone
        return done

    def _send(self, place: int, ask: Ask) -> None:
        while len(self._open) <= place:
            one = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
            one.connect()
            one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(one)
        headers = {"Authorization": f"Bearer {self.key}"}
        if ask.key is not None:
            headers["Idempotency-Key"] = ask.key
        body = None
        if ask.body is not None:
            body = json.dumps(ask.body() if callable(ask.body) else ask.body)
            headers["Content-Type"] = "application/json"
        self._open[place].request(ask.method, ask.path, body, headers)

    def _judge(
        self, place: int, ask: Ask, status: int, text: bytes, done: dict[int, Answer]
    ) -> None:
        if not 200 <= status < 300:
            self._note(ask, "info" if status >= UNSURE_FROM else "fail", status=status)
            if ask.may_be_refused and ask.may_be_refused.encode() in text:
                done[place] = None
            elif status not in AGAIN:
                self.wrong.append(f"{ask.method} {ask.path} → {status} {text[:300]!r}")
                done[place] = None
            return
        said: Any = json.loads(text) if text else None
        stored = [one["id"] for one in said["signals"]] if said and ask.signals else []
        self._note(ask, "ok", stored, status=status)
        if ask.mark:
            self.uncertain.pop(ask.mark, None)
            self.acknowledged[ask.mark] = ask.kind
        if ask.same_as is not None and said != ask.same_as:
            self.wrong.append(f"{ask.path} asked again was answered {said}, not {ask.same_as}")
        self.to_read_back += [(a[0], id) for a, id in zip(ask.signals, stored, strict=False)]
        done[place] = said

    def _note(self, ask: Ask, type: Type, stored: list[str] | None = None, **detail: Any) -> None:
        for number, (fingerprint, operation) in enumerate(ask.signals):
            told = {"stored_id": stored[number]} if stored else {}
            op: Op = "fire" if operation == "fire" else "resolve"
            self.history.write(fingerprint, op, type, **detail, **told)

    def read_back(self, most: int) -> None:
        """Read alerts that were acknowledged before the crash: none may be missing. Raises Gone."""
        some = self.to_read_back[-most:]
        for fingerprint, stored in some:
            self.history.write(fingerprint, "read", "invoke")
            try:
                self._send(0, Ask(f"/v1/signals/{stored}", method="GET"))
                answer = self._open[0].getresponse()
                answer.read()
            except COMING_AND_GOING as error:
                self.history.write(fingerprint, "read", "info", error=type(error).__name__)
                self.hang_up()
                raise Gone({}) from error
            kind: Type = "ok" if answer.status < 300 else "fail"
            self.history.write(fingerprint, "read", kind, status=answer.status)
            if kind == "fail":
                self.wrong.append(f"signal {stored}, acknowledged, → {answer.status}")
        self.to_read_back.clear()

    def wait_for_listener(self, seconds: float) -> bool:
        """Whether somebody listens on the port before the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.004)
            else:
                return True
        return False
