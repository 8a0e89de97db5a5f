"""A client that tries a deployed API: who is refused, who is let in, and is it answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import websocket

_HEADER = "route.request.header."
_QUERY = "route.request.querystring."
_ANSWER_SECONDS = 60.0
_MORE_SECONDS = 5.0
_WRONG = "not-the-credential"
# What API Gateway answers, and the emulator where it differs.
NO_CREDENTIAL = (401,)
WRONG_CREDENTIAL = (401, 500)
DENIED = (403,)
LET_IN = (101,)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where an API looks for a credential, with one in each place."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, identity_sources: Sequence[str], value: str) -> Credentials:
        """Put ``value`` in each identity source that a client can fill."""
        return cls(
            {it.removeprefix(_HEADER): value for it in identity_sources if it.startswith(_HEADER)},
            {it.removeprefix(_QUERY): value for it in identity_sources if it.startswith(_QUERY)},
        )

    def from_origin(self, origin: str) -> Credentials:
        """Return the same credentials, sent by a page of ``origin``."""
        return Credentials({**self.headers, "Origin": origin}, self.query)


@dataclass(frozen=True, slots=True)
class Step:
    """What was tried, what came of it, and whether that is right."""

    tried: str
    outcome: str
    is_right: bool

    def line(self) -> str:
        """Return the step as a line of a transcript."""
        return f"{'ok ' if self.is_right else 'NOT'}  {self.tried}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class LocalClient:
    """Tries one API."""

    url: str
    identity_sources: Sequence[str]
    """What API Gateway itself must find in a handshake."""
    places: Sequence[str]
    """Where the credential goes, written as identity sources are."""
    credential: str

    def steps(self, message: str, refused_origin: str | None) -> Iterator[Step]:
        """Try all that is to be tried; each step says by itself whether it went right."""
        # Without an identity source the authorizer is asked, as it is of a wrong credential.
        refused = NO_CREDENTIAL if self.identity_sources else WRONG_CREDENTIAL
        yield self._handshake("without a credential", Credentials(), refused)
        wrong = Credentials.at(self.places, _WRONG)
        yield self._handshake("with a wrong credential", wrong, WRONG_CREDENTIAL)
        right = Credentials.at(self.places, self.credential)
        if refused_origin is not None:
            tried = f"with the right one, from a page of {refused_origin}"
            yield self._handshake(tried, right.from_origin(refused_origin), DENIED)
        yield from self._conversation(right, message)

    def _handshake(self, tried: str, credentials: Credentials, right: Sequence[int]) -> Step:
        try:
            self._connect(credentials).close()
            status = 101
        except websocket.WebSocketBadStatusException as refusal:
            status = int(refusal.status_code)
        outcome = f"{status}"
        if status != right[0] and status in right:
            outcome += f" (the emulator's own; API Gateway answers {right[0]})"
        return Step(f"handshake {tried}", outcome, status in right)

    def _conversation(self, credentials: Credentials, message: str) -> Iterator[Step]:
        try:
            client = self._connect(credentials)
        except websocket.WebSocketBadStatusException as refusal:
            yield Step("handshake with the right credential", str(refusal.status_code), False)
            return
        yield Step("handshake with the right credential", "101", True)
        try:
            client.send(message)
            yield Step("send", message, True)
            yield from _answers(client)
        finally:
            client.close()

    def _connect(self, credentials: Credentials) -> websocket.WebSocket:
        query = f"?{urlencode(credentials.query)}" if credentials.query else ""
        headers = dict(credentials.headers)
        return websocket.create_connection(
            f"{self.url}{query}",
            timeout=_ANSWER_SECONDS,
            origin=headers.pop("Origin", None),
            suppress_origin="Origin" not in credentials.headers,
            header=headers,
            # It is on this machine. The library heeds exceptions only beside a proxy.
            http_proxy_host="none",
            http_proxy_port=1,
            http_no_proxy=["*"],
        )


def _answers(client: websocket.WebSocket) -> Iterator[Step]:
    """Yield the first answer, and those that follow it closely."""
    answered = False
    try:
        while True:
            frame = str(client.recv())
            yield Step("receive", frame, _is_answer(frame))
            answered = True
            client.settimeout(_MORE_SECONDS)
    except websocket.WebSocketTimeoutException:
        if not answered:
            yield Step("receive", f"nothing in {_ANSWER_SECONDS:.0f} s", False)
    except websocket.WebSocketConnectionClosedException:
        yield Step("receive", "the connection was closed", False)


def _is_answer(frame: str) -> bool:
    """Whether a frame is an answer: a failing handler's words are sent to the client here."""
    try:
        answer = json.loads(frame)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("type") != "error" and "error" not in answer
