"""What a line typed in a chat means. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wsclient.protocol import Frame, decode

HELP = (
    "A line is sent to the audience; a line that begins with / is a command:",
    "  /to AUDIENCE    everyone, principal:ID, channel:NAME or connection:ID",
    "  /join CHANNEL, /leave CHANNEL, /whoami, /ping",
    "  /raw FRAME      send a JSON object as it is; //text sends /text",
    "  /quit           or Ctrl-D",
)

_REQUESTS = {"join": "channel", "leave": "channel", "whoami": "", "ping": ""}


@dataclass(frozen=True, slots=True)
class Send:
    """A request to send; ``fields`` are the action's own."""

    action: str
    fields: Frame


@dataclass(frozen=True, slots=True)
class SendRaw:
    """A frame to send as it is."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Address:
    """Messages go to this audience from now on."""

    audience: str


@dataclass(frozen=True, slots=True)
class Say:
    """Lines for the person alone."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quit:
    """The end of the chat."""


Meaning = Send | SendRaw | Address | Say | Quit


def meaning(line: str, audience: str) -> Meaning:
    """Return what is to be done."""
    if not line.startswith("/") or line.startswith("//"):
        message = line[1:] if line.startswith("//") else line
        return Send("sendmessage", {"message": message, "to": audience})
    name, _, rest = line[1:].strip().partition(" ")
    rest = rest.strip()
    if name in _REQUESTS:
        return _request(name, rest)
    if name == "to" and rest:
        return Address(rest)
    if name == "raw":
        return _raw(rest)
    if name in {"quit", "exit"}:
        return Quit()
    return Say(HELP) if name == "help" else Say((f"there is no /{name} like this; see /help",))


def _request(name: str, rest: str) -> Meaning:
    wanted = _REQUESTS[name]
    if bool(wanted) != bool(rest):
        return Say((f"write /{name} {wanted.upper()}".rstrip(),))
    return Send(name, {wanted: rest} if wanted else {})


def _raw(text: str) -> Meaning:
    frame = decode(text)
    if frame.get("type") == "unreadable":
        return Say(('write /raw {"action": "…"}: one JSON object',))
    return SendRaw(frame)
