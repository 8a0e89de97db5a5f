"""The message protocol: one JSON object in each text frame. docs/protocol.md is its page.

Pure, but for the connections, the broadcast, the clock and the randomness a Router is given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from chalicelib.actions import (
    Authenticate,
    Command,
    FrameId,
    Join,
    Leave,
    Ping,
    SendMessage,
    parse_command,
    parse_id,
)
from chalicelib.connections import (
    Audience,
    Connection,
    ConnectionRepository,
    Member,
    authorized_principal,
    implicit_audiences,
    request_context,
)
from chalicelib.decisions import source_ip
from chalicelib.endings import Closing, Ended
from chalicelib.errors import ClientError, ConnectionGone, PayloadTooLarge, UnexpectedEvent
from chalicelib.frames import Fields, encode, parse_object
from chalicelib.gate import Gate
from chalicelib.scopes import Scopes


@dataclass(frozen=True, slots=True)
class Sender:
    """The connection a message came from, as API Gateway vouches for it.

    ``connected_at`` is in milliseconds; ``expires_at`` in seconds, None if the authorizer set none.
    ``scopes`` is None if the authorizer said nothing of them.
    """

    connection_id: str
    principal_id: str
    api_id: str
    stage: str
    connected_at: int
    expires_at: int | None
    scopes: Scopes | None = None
    source_ip: str | None = None

    @classmethod
    def from_request_context(cls, context: Mapping[str, Any]) -> "Sender":
        """Read either shape: the mapping template has flat what the proxy event nests."""
        authorizer = context.get("authorizer")
        if not isinstance(authorizer, Mapping):
            names = {"principalId": "auth", "expiresAt": "expiresAt", "scopes": "scopes"}
            authorizer = {name: context.get(flat) for name, flat in names.items()}
        principal_id = authorized_principal({"authorizer": authorizer})
        if principal_id is None:
            raise UnexpectedEvent("a message from a connection without a principal")
        return cls(
            connection_id=context["connectionId"],
            principal_id=principal_id,
            api_id=context["apiId"],
            stage=context["stage"],
            connected_at=_number(context.get("connectedAt")) or 0,
            expires_at=_number(authorizer.get("expiresAt")),
            scopes=_scopes(authorizer.get("scopes")),
            source_ip=source_ip(context),
        )

    def member(self) -> Member:
        """Return its connection as an audience keeps it."""
        expires_at = self.expires_at or 0
        return Member(self.connection_id, self.principal_id, self.connected_at, expires_at)

    def as_of(self, connection: Connection) -> "Sender":
        """Return the sender as its last credential was: a renewal changes expiry and scopes."""
        scopes = _scopes(connection.context.get("scopes"))
        return replace(self, expires_at=connection.expires_at, scopes=scopes or self.scopes)


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """One frame and who sent it, whichever integration has brought it."""

    sender: Sender
    route_key: str
    body: str = field(repr=False)
    """A frame of ``authenticate`` holds a credential."""

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "IncomingMessage":
        """Read a proxy event, or what the mapping template makes of one; else UnexpectedEvent."""
        context = request_context(event, "MESSAGE")
        body = event.get("body")
        return cls(
            sender=Sender.from_request_context(context),
            route_key=str(context.get("routeKey")),
            body=body if isinstance(body, str) else "",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The frame that goes back to the sender, and ``ok`` or a reason for the log.

    ``closing`` is why its connection is to be closed afterwards.
    """

    frame: bytes
    outcome: str
    closing: Closing | None = None


class Broadcast(Protocol):
    """Whatever sends to an audience."""

    def __call__(self, audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
        """Return what came of it, as the sender is told."""


class Policies(Protocol):
    """One more checker beside scopes."""

    def allow(self, principal_id: str, action: str, audience: Audience, scopes: Scopes, /) -> bool:
        """Tell whether a principal may do this."""


class Renew(Protocol):
    """Whatever verifies a new credential."""

    def __call__(self, connection: Connection, credential: str, /) -> int:
        """Return when the connection now expires, in seconds; raises ClientError."""


@dataclass(frozen=True, slots=True)
class Router:
    """Carries out commands.

    ``now`` is in seconds since the epoch; ``random_bits(n)`` returns an n-bit number;
    ``default_scopes`` are those of connections whose authorizer says nothing of scopes. What they
    allow, ``policies`` must allow too, where there are any.
    """

    gate: Gate
    renew: Renew
    connections: ConnectionRepository
    broadcast: Broadcast
    now: Callable[[], float]
    random_bits: Callable[[int], int]
    default_scopes: Scopes
    max_channels: int
    policies: Policies | None = None

    def respond(self, incoming: IncomingMessage) -> Answer:
        """Carry out one frame; the sender's faults become an error frame, ours are raised."""
        frame_id: FrameId = None
        sender = incoming.sender
        try:
            connection = self.gate.admit(sender.connection_id, sender.principal_id)
            fields = parse_object(incoming.body)
            frame_id = parse_id(fields)
            command = parse_command(fields, incoming.route_key)
            result = self._result(command, sender.as_of(connection), connection)
        except ClientError as error:
            frame_id = _id_in(incoming.body) if frame_id is None else frame_id
            closing = error.closing if isinstance(error, Ended) else None
            return Answer(_error_frame(frame_id, error), error.reason, closing)
        return Answer(encode({"type": "reply", "id": frame_id, "result": result}), "ok")

    def _result(self, command: Command, sender: Sender, connection: Connection) -> Fields:
        match command:
            case Authenticate(token):
                return {"expiresAt": self.renew(connection, token)}
            case SendMessage():
                return self._send(command, sender)
            case Join(channel):
                return self._join(channel, sender)
            case Leave(channel):
                self.connections.leave(sender.connection_id, channel)
                return {"channel": channel.name}
            case Ping():
                return {"time": int(self.now() * 1000)}
        return self._describe(sender)

    def _describe(self, sender: Sender) -> Fields:
        channels = self.connections.channels(sender.connection_id)
        audiences = (*implicit_audiences(sender.principal_id), *channels)
        return {
            "connectionId": sender.connection_id,
            "principalId": sender.principal_id,
            "connectedAt": sender.connected_at,
            "expiresAt": sender.expires_at,
            "audiences": [str(audience) for audience in audiences],
        }

    def _join(self, channel: Audience, sender: Sender) -> Fields:
        self._check(sender, "join", channel, "You may not join this channel.")
        name = sender.connection_id
        try:
            has_joined = self.connections.join(name, channel, self.now(), self.max_channels)
        except ConnectionGone:
            raise ClientError("not_connected", "This connection has ended or expired.") from None
        if not has_joined:
            problem = f"A connection may be in {self.max_channels} channels."
            raise ClientError("too_many_channels", problem)
        return {"channel": channel.name}

    def _send(self, command: SendMessage, sender: Sender) -> Fields:
        self._check(sender, "sendmessage", command.to, "You may not send to this audience.")
        now = self.now()
        message_id = time_ordered_id(now, self.random_bits)
        frame = message_frame(sender.principal_id, command, message_id, now)
        try:
            outcome = self.broadcast(command.to, frame, message_id)
        except PayloadTooLarge:
            raise ClientError("message_too_long", "The message is over 128 KiB.") from None
        return {"messageId": message_id, **outcome}

    def _check(self, sender: Sender, action: str, audience: Audience, problem: str) -> None:
        scopes = self.default_scopes if sender.scopes is None else sender.scopes
        is_allowed = may(sender, scopes, action, audience)
        if is_allowed and self.policies is not None:
            is_allowed = self.policies.allow(sender.principal_id, action, audience, scopes)
        if not is_allowed:
            raise ClientError("forbidden_audience", problem)


def message_frame(principal_id: str, command: SendMessage, message_id: str, now: float) -> bytes:
    """Return what an audience is sent; ``now`` is in seconds since the epoch."""
    return encode(
        {
            "type": "message",
            "messageId": message_id,
            "from": principal_id,
            "to": str(command.to),
            "message": command.message,
            "sentAt": int(now * 1000),
        }
    )


def may(sender: Sender, scopes: Scopes, action: str, audience: Audience) -> bool:
    """Tell whether scopes let a sender do this to an audience.

    ``sendmessage`` alone lets it send to everyone and to itself.
    """
    own = (
        *implicit_audiences(sender.principal_id),
        Audience("connection", sender.connection_id),
    )
    if action == "sendmessage" and audience in own and scopes.allow(action):
        return True
    return scopes.allow(action, str(audience))


def time_ordered_id(now: float, random_bits: Callable[[int], int]) -> str:
    """Return a UUID of version 7 (RFC 9562), which sorts as text by time.

    The twelve bits after the milliseconds are a fraction of one, section 6.2, method 3: two
    messages of one sender are rarely a millisecond apart.
    """
    milliseconds, fraction = divmod(now * 1000, 1)
    value = int(milliseconds) << 80 | 0x7 << 76 | int(fraction * 4096) << 64
    # Written out by hand: importing uuid would take 2 ms of CPU of every cold start.
    digits = f"{value | 0b10 << 62 | random_bits(62):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _error_frame(frame_id: FrameId, error: ClientError) -> bytes:
    content = {"code": error.code, "message": error.message, **error.details}
    return encode({"type": "error", "id": frame_id, "error": content})


def _id_in(body: str) -> FrameId:
    """Return the id of a frame that is not carried out, where one can be read."""
    try:
        return parse_id(parse_object(body))
    except ClientError:
        return None


def _scopes(value: object) -> Scopes | None:
    """Empty counts as unsaid: a mapping template cannot tell the two apart.

    Nobody gets more by that, for no connection is opened without the scope ``connect``.
    """
    return Scopes.granted(value.split()) if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None
