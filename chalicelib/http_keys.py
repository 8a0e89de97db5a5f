"""API keys over HTTP, for those who may hand out what they hold themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from chalicelib.actions import only_fields
from chalicelib.authorizers import Principal
from chalicelib.authorizers.api_key import ApiKey, KeyDescription, is_key_id, new_key
from chalicelib.errors import ClientError, Forbidden
from chalicelib.frames import Fields
from chalicelib.http_answers import Answer
from chalicelib.http_requests import DEFAULT_PAGE, MAX_PAGE, Call, not_found
from chalicelib.http_routes import KEYS_SCOPE
from chalicelib.idempotency import HEADER
from chalicelib.managed_keys import MAX_DAYS, ManagedKeys, end_after
from chalicelib.principals import PRINCIPAL_RULE, is_principal_id
from chalicelib.scopes import MAX_CHARACTERS, Scopes, is_scope

MAX_BODY_BYTES = 8192
_FIELDS = ("principal", "scopes", "days")
_FRESH = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class KeyKeeper:
    """Makes, lists and revokes keys; ``now`` is in seconds since the epoch.

    ``keys`` is None where the stage takes none. ``is_revoked`` tells of a caller whether it is so
    by now.
    """

    keys: ManagedKeys | None
    is_revoked: Callable[[Principal], bool]
    now: Callable[[], float]

    def create(self, call: Call) -> Answer:
        """Make a key, which this answer alone has; Forbidden for a maker who was just revoked."""
        keys, now = self._taken(), self.now()
        maker = call.caller(KEYS_SCOPE, now)
        wanted = _wanted(call)
        if not maker.scopes.cover(wanted.scopes):
            raise ClientError("forbidden", "A key can have no scope that you do not have yourself.")
        text, key = wanted.made(now, maker.principal_id)
        keys.add(key)
        if self.is_revoked(maker):
            # Looked up after the key was written: one that stays was in the list before its maker
            # was revoked, for whoever revokes to see. This one nobody has been told.
            keys.revoke(key.key_id)
            raise Forbidden("revoked", maker.principal_id)
        about = {"of": key.principal_id, "key": key.key_id}
        return Answer(201, {"key": text, **_described(key)}, _FRESH, about=about)

    def list(self, call: Call) -> Answer:
        """Return a page of all keys, in the order of their ids, which is none of time."""
        keys = self._taken()
        call.only_parameters(("limit", "cursor"))
        cursor = call.query_string("cursor")
        if cursor is not None and not is_key_id(cursor):
            raise ClientError("invalid_cursor", "cursor is none of this list's.")
        page = keys.page(cursor, call.count("limit", DEFAULT_PAGE, MAX_PAGE))
        more = {} if page.last is None else {"cursor": page.last}
        return Answer(200, {"keys": [_described(key) for key in page.keys], **more}, _FRESH)

    def revoke(self, call: Call) -> Answer:
        """Let a key admit nobody from now on, however often it is asked."""
        keys = self._taken()
        call.only_parameters(())
        key_id = call.parameter("key_id")
        if not is_key_id(key_id) or not keys.revoke(key_id):
            raise not_found("There is no such key.")
        return Answer(200, {"keyId": key_id, "revoked": True}, _FRESH, about={"key": key_id})

    def _taken(self) -> ManagedKeys:
        if self.keys is None:
            raise not_found("This stage takes no API keys.")
        return self.keys


def _described(key: KeyDescription) -> Mapping[str, Any]:
    return {
        "keyId": key.key_id,
        "principal": key.principal_id,
        "scopes": str(key.scopes).split(),
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "createdBy": key.created_by,
        "revoked": key.revoked,
    }


class _Wanted(NamedTuple):
    principal_id: str
    scopes: Scopes
    days: int | None

    def made(self, now: float, maker: str) -> tuple[str, ApiKey]:
        return new_key(self.principal_id, self.scopes, now, end_after(now, self.days), maker)


def _wanted(call: Call) -> _Wanted:
    call.only_parameters(())
    if HEADER in call.headers:
        # An answer that is kept to be repeated would be a key in the table, for a day.
        problem = "No Idempotency-Key is taken here: an answer with a key is not kept."
        raise ClientError("invalid_idempotency_key", problem)
    fields = call.json_object(MAX_BODY_BYTES)
    only_fields(fields, _FIELDS)
    return _Wanted(_principal_id(fields), _scopes(fields), _days(fields))


def _principal_id(fields: Fields) -> str:
    principal_id = _required(fields, "principal")
    if not is_principal_id(principal_id):
        raise ClientError(
            "invalid_field", f"principal is not the id of a principal: {PRINCIPAL_RULE}."
        )
    return str(principal_id)


def _required(fields: Fields, name: str) -> object:
    if name not in fields:
        raise ClientError("missing_field", f"{name} is missing.")
    return fields[name]


def _scopes(fields: Fields) -> Scopes:
    texts = _required(fields, "scopes")
    if not isinstance(texts, list) or not texts or not all(map(_is_scope, texts)):
        raise ClientError("invalid_field", "scopes must be a list of scopes, one at least.")
    scopes = Scopes(frozenset(texts))
    if len(str(scopes)) > MAX_CHARACTERS:
        problem = f"scopes are over {MAX_CHARACTERS} characters together."
        raise ClientError("invalid_field", problem)
    return scopes


def _is_scope(text: object) -> bool:
    return isinstance(text, str) and is_scope(text)


def _days(fields: Fields) -> int | None:
    if "days" not in fields:
        return None
    days = fields["days"]
    if type(days) is not int or not 1 <= days <= MAX_DAYS:
        raise ClientError("invalid_field", f"days must be a whole number from 1 to {MAX_DAYS}.")
    return days
