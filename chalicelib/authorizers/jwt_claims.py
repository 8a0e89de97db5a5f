"""What the claims of a token must say, once its signature was found good. Pure.

https://www.rfc-editor.org/rfc/rfc7519#section-4.1
"""

from collections.abc import Mapping
from typing import Any

from chalicelib.authorizers import CLOCK_SKEW, Principal
from chalicelib.credential_settings import JwtSettings
from chalicelib.errors import Unauthorized
from chalicelib.principals import is_principal_id
from chalicelib.scopes import MAX_CHARACTERS, Scopes

# Later numbers are not exact in JSON as others read it.
_LATEST = 2**53

Claims = Mapping[str, Any]


def principal_of(
    claims: Claims, settings: JwtSettings, default_scopes: Scopes, now: float, ttl: int
) -> Principal:
    """Return whom a token speaks for, or raise Unauthorized.

    ``now`` is in seconds since the epoch, ``ttl`` in seconds: how long a connection may last.
    """
    if claims.get("iss") != settings.issuer:
        raise Unauthorized("wrong_issuer")
    _check_audience(claims, settings)
    if settings.token_use is not None and claims.get("token_use") != settings.token_use:
        raise Unauthorized("wrong_token_use")
    if "cnf" in claims:  # worth nothing without the key it is bound to, which nobody can check here
        raise Unauthorized("bound_token")
    expires_at = _check_times(claims, now)
    principal_id = claims.get("sub")
    if not is_principal_id(principal_id):
        raise Unauthorized("bad_claims")
    return Principal(
        str(principal_id),
        "jwt",
        min(int(expires_at), int(now) + ttl),
        _scopes(claims, settings, default_scopes),
        _details(claims),
        issued_at=int(_time(claims, "iat")),
    )


def _check_audience(claims: Claims, settings: JwtSettings) -> None:
    """Every configured list must be met; an audience that is named must be ours in any case."""
    expected = settings.audiences or settings.client_ids
    named = _texts(claims.get("aud", []))
    if (settings.audiences or "aud" in claims) and not set(named) & set(expected):
        raise Unauthorized("wrong_audience")
    # azp is what OpenID Connect calls it: https://openid.net/specs/openid-connect-core-1_0.html
    client_id = claims.get("client_id", claims.get("azp"))
    if settings.client_ids and not (
        isinstance(client_id, str) and client_id in settings.client_ids
    ):
        raise Unauthorized("wrong_client")


def _check_times(claims: Claims, now: float) -> float:
    expires_at = _time(claims, "exp")
    not_before = _time(claims, "nbf") if "nbf" in claims else 0
    if now >= expires_at:
        raise Unauthorized("expired_token")
    if max(not_before, _time(claims, "iat")) > now + CLOCK_SKEW:
        raise Unauthorized("token_not_yet_valid")
    return expires_at


def _time(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise Unauthorized("bad_claims")
    return value


def _scopes(claims: Claims, settings: JwtSettings, default: Scopes) -> Scopes:
    if settings.scope_claim is None:
        return default
    granted = claims.get(settings.scope_claim, [])
    texts = granted.split(" ") if isinstance(granted, str) else _texts(granted)
    scopes = Scopes.granted(texts, settings.scope_prefix)
    if len(str(scopes)) > MAX_CHARACTERS:
        raise Unauthorized("too_many_scopes")
    return scopes


def _details(claims: Claims) -> dict[str, str]:
    if "jti" not in claims:
        return {}
    if not is_principal_id(claims["jti"]):  # the same rules: it is shown and looked up
        raise Unauthorized("bad_claims")
    return {"jti": claims["jti"]}


def _texts(value: object) -> list[str]:
    """One text or a list of them: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3 ."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise Unauthorized("bad_claims")
    return values
