"""The message protocol: one JSON object in each text frame. docs/protocol.md is its page.

Pure, but for the broadcast, the clock and the randomness a Router is given.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.connections import EVERYONE, Audience, authorized_principal, request_context
from chalicelib.errors import ClientError, PayloadTooLarge, UnexpectedEvent
from chalicelib.frames import Fields, encode, parse_object

MAX_ID_CHARACTERS = 128
# Beyond these JavaScript would see another number than was sent.
MAX_ID_NUMBER = 2**53 - 1

FrameId = str | int | None


@dataclass(frozen=True, slots=True)
class Sender:
    """The connection a message came from, as API Gateway vouches for it.

    ``connected_at`` is in milliseconds; ``expires_at`` in seconds, None if the authorizer set none.
    """

    connection_id: str
    principal_id: str
    api_id: str
    stage: str
    connected_at: int
    expires_at: int | None

    @classmethod
    def from_request_context(cls, context: Mapping[str, Any]) -> "Sender":
        """Read either shape: the mapping template has flat what the proxy event nests."""
        authorizer = context.get("authorizer")
        if not isinstance(authorizer, Mapping):
            authorizer = {"principalId": context.get("auth"), "expiresAt": context.get("expiresAt")}
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
        )


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """One frame and who sent it, whichever integration has brought it."""

    sender: Sender
    route_key: str
    body: str

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
class SendMessage:
    """``sendmessage``: send a text to an audience."""

    message: str
    to: Audience


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """``whoami``: say what this connection is, and for whom it speaks."""


@dataclass(frozen=True, slots=True)
class Ping:
    """``ping``: answer at all, which also keeps an idle connection open."""


Command = SendMessage | WhoAmI | Ping


@dataclass(frozen=True, slots=True)
class Answer:
    """The frame that goes back to the sender, and ``ok`` or the error's code for the log."""

    frame: bytes
    outcome: str


@dataclass(frozen=True, slots=True)
class Router:
    """Carries out commands; ``broadcast`` returns how many of an audience had which outcome.

    ``now`` is in seconds since the epoch; ``random_bits(n)`` returns an n-bit number.
    """

    broadcast: Callable[[Audience, bytes], Mapping[str, int]]
    now: Callable[[], float]
    random_bits: Callable[[int], int]

    def respond(self, incoming: IncomingMessage) -> Answer:
        """Carry out one frame; the sender's faults become an error frame, ours are raised."""
        frame_id: FrameId = None
        try:
            fields = parse_object(incoming.body)
            frame_id = parse_id(fields)
            command = parse_command(fields, incoming.route_key)
            result = self._result(command, incoming.sender)
        except ClientError as error:
            return Answer(_error_frame(frame_id, error), error.code)
        return Answer(encode({"type": "reply", "id": frame_id, "result": result}), "ok")

    def _result(self, command: Command, sender: Sender) -> Fields:
        if isinstance(command, SendMessage):
            return self._send(command, sender)
        if isinstance(command, Ping):
            return {"time": int(self.now() * 1000)}
        return {
            "connectionId": sender.connection_id,
            "principalId": sender.principal_id,
            "connectedAt": sender.connected_at,
            "expiresAt": sender.expires_at,
        }

    def _send(self, command: SendMessage, sender: Sender) -> Fields:
        if not may_address(sender, command.to):
            raise ClientError("forbidden_audience", "You may not send to this audience.")
        now = self.now()
        message_id = time_ordered_id(now, self.random_bits)
        message = {
            "type": "message",
            "messageId": message_id,
            "from": sender.principal_id,
            "to": str(command.to),
            "message": command.message,
            "sentAt": int(now * 1000),
        }
        try:
            delivery = self.broadcast(command.to, encode(message))
        except PayloadTooLarge:
            raise ClientError("message_too_long", "The message is over 128 KiB.") from None
        return {"messageId": message_id, "delivery": dict(delivery)}


def may_address(sender: Sender, audience: Audience) -> bool:
    """Everyone may be addressed by all, a principal by itself only: nothing grants more yet."""
    return audience == EVERYONE or audience == Audience("principal", sender.principal_id)


def parse_id(fields: Fields) -> FrameId:
    """Return what the answer must echo: a short text, a whole number, or nothing."""
    frame_id = fields.get("id")
    match frame_id:
        case bool():
            pass
        case None if "id" not in fields:
            return None
        case int() if abs(frame_id) <= MAX_ID_NUMBER:
            return frame_id
        case str() if len(frame_id) <= MAX_ID_CHARACTERS:
            return _text("id", frame_id)
    raise ClientError("invalid_field", "id must be a short text or a whole number.")


def parse_command(fields: Fields, route_key: str) -> Command:
    """Read a command; a route of its own accepts only the action it is named after."""
    action = _required_text(fields, "action")
    parse = _ACTIONS.get(action)
    if parse is None:
        raise ClientError("unknown_action", f"The actions are: {', '.join(_ACTIONS)}.")
    if route_key not in {"$default", action}:
        raise ClientError("route_mismatch", "The action is not that of the route.")
    return parse(fields)


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
    content = {"code": error.code, "message": error.message}
    return encode({"type": "error", "id": frame_id, "error": content})


def _send_message(fields: Fields) -> Command:
    _only(fields, {"message", "to"})
    message = _required_text(fields, "message")
    to = _text("to", fields.get("to", "everyone"))
    try:
        return SendMessage(message, Audience.parse(to))
    except ValueError:
        raise ClientError("invalid_audience", "to is not an audience.") from None


def _who_am_i(fields: Fields) -> Command:
    _only(fields, ())
    return WhoAmI()


def _ping(fields: Fields) -> Command:
    _only(fields, ())
    return Ping()


_ACTIONS: Mapping[str, Callable[[Fields], Command]] = {
    "sendmessage": _send_message,
    "whoami": _who_am_i,
    "ping": _ping,
}


def _only(fields: Fields, names: Iterable[str]) -> None:
    if fields.keys() - {"action", "id", *names}:
        allowed = ", ".join(sorted(("action", "id", *names)))
        raise ClientError("unknown_field", f"The fields are: {allowed}.")


def _required_text(fields: Fields, name: str) -> str:
    if name not in fields:
        raise ClientError("missing_field", f"{name} is missing.")
    return _text(name, fields[name])


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ClientError("invalid_field", f"{name} must be a text.")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape but UTF-8 not hold
        raise ClientError("invalid_text", f"{name} is not Unicode text.") from None
    return value


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None
