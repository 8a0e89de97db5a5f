"""JSON Web Tokens: what is accepted, and that nothing else is."""

import json
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.authorizers import Principal
from chalicelib.authorizers.jwt import JwtAuthenticator, keys_of
from chalicelib.authorizers.jwt_form import MAX_TOKEN_CHARACTERS, parse_token
from chalicelib.authorizers.jwt_keys import KeySet, PinnedKeys, SecretKeys
from chalicelib.credential_settings import JwtSettings, Place
from chalicelib.errors import ConfigurationError, Unauthorized
from chalicelib.scopes import Scopes
from chalicelib.secret_values import EARLY_SECONDS, FixedSecret, StoredSecret, Versions, literal
from tests.calls import noted_calls
from tests.factories import NOW, authorizer_request, make_settings
from tests.fakes import Clock, FakeSecretStore
from tests.forged_tokens import forged_tokens, good_tokens
from tests.second_opinion import second_opinion
from tests.tokens import (
    AUDIENCE,
    ISSUER,
    KEYS,
    MARKER,
    SECRET,
    b64,
    claims,
    ec_key,
    ed_key,
    json_bytes,
    jwk,
    key_set,
    rsa_key,
    sign,
)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
SETTINGS = JwtSettings(ISSUER, (AUDIENCE,), algorithms=ALGORITHMS)
DEFAULT_SCOPES = Scopes.parse("connect sendmessage")
GOOD, FORGED = good_tokens(), forged_tokens()
SECOND_OPINION = second_opinion()


def authenticator(**changes: Any) -> JwtAuthenticator:
    """Return one with the issuer's keys pinned."""
    keys = PinnedKeys(FixedSecret(json.dumps(key_set())), ALGORITHMS)
    return JwtAuthenticator(
        replace(SETTINGS, **changes), keys, (Place("query", "jwt"),), DEFAULT_SCOPES, ttl=7200
    )


AUTHENTICATOR = authenticator()


def by_secret(secret: Any) -> JwtAuthenticator:
    return replace(authenticator(algorithms=("HS256",)), keys=SecretKeys(secret))


def sign_by_secret(payload: object = None, secret: str = SECRET) -> str:
    return sign(payload, "HS256", {"kid": None}, secret.encode())


def reason(token: str, accepter: JwtAuthenticator = AUTHENTICATOR) -> str:
    with pytest.raises(Unauthorized) as caught:
        accepter.verify(token, NOW)
    return caught.value.reason


def test_a_token_is_the_principal_its_subject_names() -> None:
    token = sign(claims(jti="6f1e3c9a"))
    assert AUTHENTICATOR.authenticate(authorizer_request(query=[("jwt", token)])) == Principal(
        "alice",
        "jwt",
        int(NOW) + 600,
        DEFAULT_SCOPES,
        {"jti": "6f1e3c9a"},
        issued_at=int(NOW) - 60,
    )


def test_a_connection_ends_with_its_token_or_when_its_time_is_over() -> None:
    assert AUTHENTICATOR.verify(sign(claims(exp=NOW + 10.9)), NOW).expires_at == int(NOW) + 10
    assert AUTHENTICATOR.verify(sign(claims(exp=int(NOW) + 90_000)), NOW).expires_at == NOW + 7200


@pytest.mark.parametrize("query", [[], [("jwt", "")], [("jwt", "pk_1_2")], [("other", "a.b.c")]])
def test_without_anything_like_a_token_the_next_authenticator_is_asked(
    query: list[tuple[str, str]],
) -> None:
    assert AUTHENTICATOR.authenticate(authorizer_request(query=query)) is None


@pytest.mark.parametrize("token", GOOD.values(), ids=GOOD)
def test_a_good_token_is_accepted(token: str) -> None:
    assert SECOND_OPINION.accepts(token), "or the second opinion is worth nothing"
    assert AUTHENTICATOR.verify(token, NOW)


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_forged_or_malformed_token_is_refused(token: str) -> None:
    assert not SECOND_OPINION.accepts(token)
    assert reason(token)


def test_the_corpus_is_no_smaller_than_it_says() -> None:
    assert len(set(FORGED.values())) >= 300


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no algorithm, with a signature", "wrong_algorithm"),
        ("an algorithm not configured", "wrong_algorithm"),
        ("a public key as a secret", "wrong_algorithm"),
        ("the algorithm of another key", "unknown_key"),
        ("a key of its own, well signed", "refused_token_header"),
        ("another's signature", "bad_signature"),
        ("another spelling of the signature", "malformed_token"),
        ("a claim twice", "malformed_token"),
        ("an end without end", "malformed_token"),
        ("longer than 8 KB", "token_too_long"),
        ("expires now", "expired_token"),
        ("an end that is text", "bad_claims"),
        ("an end that is null", "bad_claims"),
        ("valid later", "token_not_yet_valid"),
        ("issued later", "token_not_yet_valid"),
        ("another issuer", "wrong_issuer"),
        ("another audience", "wrong_audience"),
        ("an empty subject", "bad_claims"),
        ("a token of another purpose", "wrong_token_type"),
        ("bound to a key", "bound_token"),
        ("a path as a key", "unknown_key"),
        ("a command as a key", "malformed_token"),
        ("a key with a zero", "malformed_token"),
        ("claims nested deep", "malformed_token"),
    ],
)
def test_each_is_refused_for_what_is_wrong_with_it(name: str, expected: str) -> None:
    assert reason(FORGED[name]) == expected


def test_the_signature_is_looked_at_before_the_claims() -> None:
    assert reason(sign(b"no json", key=rsa_key(1))) == "bad_signature"


@pytest.mark.parametrize("size", [MAX_TOKEN_CHARACTERS + 1, 1_000_000])
def test_a_token_that_is_too_long_is_refused_before_any_of_it_is_read(size: int) -> None:
    token = "e" * size
    with pytest.raises(Unauthorized, match="token_too_long"), noted_calls() as called:
        parse_token(token)
    # Whatever its size: no match, no decoding, no parser.
    assert called[:3] == ["parse_token", "len", "__init__"]
    assert set(called[3:]) <= {"__init__", "__exit__", "throw", "noted_calls", "setprofile"}


@pytest.mark.parametrize("size", [MAX_TOKEN_CHARACTERS, MAX_TOKEN_CHARACTERS + 1])
def test_the_limit_of_a_tokens_length_is_exact(size: int) -> None:
    padded = sign(claims(more=""))
    missing = size - len(padded)
    token = next(
        token
        for pad in range(missing * 3 // 4 - 4, missing)
        if len(token := sign(claims(more="x" * pad))) >= size
    )
    accepted = len(token) <= MAX_TOKEN_CHARACTERS
    assert SECOND_OPINION.accepts(token) is accepted
    if accepted:
        assert AUTHENTICATOR.verify(token, NOW)
    else:
        assert reason(token) == "token_too_long"


def test_a_principal_is_never_found_by_a_file_or_a_connection() -> None:
    seen: list[str] = []
    watching = threading.get_ident()  # not what a thread of another test does meanwhile

    def audit(event: str, _: Any) -> None:
        if watching == threading.get_ident() and event in {
            "open",
            "socket.connect",
            "socket.getaddrinfo",
            "subprocess.Popen",
        }:
            seen.append(event)

    sys.addaudithook(audit)
    for token in FORGED.values():
        reason(token)
    watching = 0
    assert seen == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_that_is_not_configured_is_refused_though_its_key_is_there(
    algorithm: str,
) -> None:
    others = tuple(name for name in ALGORITHMS if name != algorithm)
    assert reason(sign(algorithm=algorithm), authenticator(algorithms=others)) == "wrong_algorithm"


# Claims by settings


def test_a_cognito_access_token_has_a_client_and_no_audience() -> None:
    cognito = authenticator(audiences=(), client_ids=("web", "mobile"), token_use="access")
    good = claims(aud=None, client_id="web", token_use="access", scope="openid")
    assert cognito.verify(sign(good), NOW).principal_id == "alice"
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"client_id": "other"}, "wrong_client"),
        ({"client_id": ["web"]}, "wrong_client"),
        ({"client_id": None}, "wrong_client"),
        ({"client_id": "other", "azp": "web"}, "wrong_client"),
        ({"token_use": "id"}, "wrong_token_use"),
        ({"token_use": None}, "wrong_token_use"),
        ({"token_use": ["access"]}, "wrong_token_use"),
        ({"aud": "other"}, "wrong_audience"),
        ({"aud": []}, "wrong_audience"),
    ]
    for wrong, expected in wrongs:
        changed = {name: it for name, it in {**good, **wrong}.items() if it is not None}
        assert reason(sign(changed), cognito) == expected


def test_an_audience_and_a_client_may_both_be_asked_for() -> None:
    both = authenticator(client_ids=("web",))
    assert both.verify(sign(claims(azp="web")), NOW)
    assert reason(sign(claims()), both) == "wrong_client"
    assert reason(sign(claims(aud="web", azp="web")), both) == "wrong_audience"


def test_the_type_of_a_token_may_be_asked_for() -> None:
    strict = authenticator(type="at+jwt")
    assert strict.verify(sign(header={"typ": "application/at+JWT"}), NOW)
    assert reason(sign(), strict) == "wrong_token_type"
    assert reason(sign(header={"typ": None}), strict) == "wrong_token_type"


@pytest.mark.parametrize(
    ("claim", "value", "prefix", "scopes"),
    [
        pytest.param("scope", "openid connect publish", "", "connect publish", id="OAuth"),
        pytest.param("permissions", ["connect", "read:all"], "", "connect", id="Auth0"),
        pytest.param("scp", "connect", "", "connect", id="Entra"),
        pytest.param("scope", "api/connect publish", "api/", "connect", id="Cognito"),
        pytest.param("scope", "connect  join:channel:*", "", "connect join:channel:*", id="blanks"),
        pytest.param("scope", "", "", "", id="no scopes"),
        pytest.param("scope", None, "", "", id="no claim: nothing is granted"),
        pytest.param("scope", [], "", "", id="an empty list"),
    ],
)
def test_scopes_are_what_the_issuer_grants_of_ours(
    claim: str, value: object, prefix: str, scopes: str
) -> None:
    accepter = authenticator(scope_claim=claim, scope_prefix=prefix)
    assert str(accepter.verify(sign(claims(**{claim: value})), NOW).scopes) == scopes


@pytest.mark.parametrize("value", [7, True, {"connect": True}, ["connect", 7], [["connect"]]])
def test_scopes_of_another_type_are_refused(value: object) -> None:
    accepter = authenticator(scope_claim="scope")
    assert reason(sign(claims(scope=value)), accepter) == "bad_claims"


def test_more_scopes_than_an_answer_can_hold_are_refused() -> None:
    granted = " ".join(f"join:channel:{number:040}" for number in range(60))
    accepter = authenticator(scope_claim="scope")
    assert reason(sign(claims(scope=granted)), accepter) == "too_many_scopes"


# Keys


def test_a_secret_verifies_what_it_has_signed() -> None:
    accepter = by_secret(FixedSecret(SECRET))
    assert accepter.verify(sign_by_secret(), NOW).principal_id == "alice"
    assert reason(sign_by_secret(secret=SECRET + "x"), accepter) == "bad_signature"
    for algorithm in ALGORITHMS:
        assert reason(sign(algorithm=algorithm), accepter) == "wrong_algorithm"
    assert reason(sign(algorithm="HS512", key=SECRET.encode()), accepter) == "wrong_algorithm"


def test_a_secret_is_for_its_own_algorithm_only() -> None:
    keys = SecretKeys(FixedSecret(SECRET))
    assert len(keys.find("HS256", "any")) == 1
    for algorithm in (*ALGORITHMS, "HS512", "none"):
        assert keys.find(algorithm, None) == []


def test_a_secret_that_was_rotated_a_moment_ago_is_fetched_early() -> None:
    clock = Clock(NOW)
    store = FakeSecretStore(Versions(SECRET))
    secret = StoredSecret("JWT_SECRET", store.fetch, clock, cache_seconds=300)
    accepter = by_secret(secret)
    accepter.verify(sign_by_secret(), NOW)
    new = SECRET[::-1]
    store.holds = Versions(new, SECRET, clock() + 3600)
    clock.now += EARLY_SECONDS
    for value in (new, SECRET):
        assert accepter.verify(sign_by_secret(secret=value), NOW)
    assert reason(sign_by_secret(secret="x" * 40), accepter) == "bad_signature"


@pytest.mark.parametrize("secret", [f"{MARKER}-{'x' * 24}", "", "é"])
def test_a_secret_that_is_too_short_lets_nobody_in(secret: str) -> None:
    with pytest.raises(ConfigurationError, match=r"JWT_SECRET|empty") as caught:
        by_secret(FixedSecret(secret)).verify(sign_by_secret(), NOW)
    assert MARKER not in str(caught.value)


def test_a_public_key_as_the_secret_lets_nobody_in() -> None:
    pem = (
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB\n-----END PUBLIC KEY-----"
    )
    with pytest.raises(ConfigurationError, match="JWT_SECRET is a public key"):
        by_secret(FixedSecret(pem)).verify(sign_by_secret(secret=pem), NOW)


RSA = jwk(rsa_key(), "rsa-1", "RS256")
EC = jwk(ec_key(), "ec-1", "ES256")
WEAK = rsa_key(9, 1024)
PRIVATE = ec_key().private_numbers().private_value.to_bytes(32, "big")


def on_curve(name: str, curve: ec.EllipticCurve) -> dict[str, Any]:
    point = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    x, y = (b64(value.to_bytes(size, "big")) for value in (point.x, point.y))
    return {"kty": "EC", "crv": name, "x": x, "y": y, "kid": "ec-1"}


@pytest.mark.parametrize(
    "member",
    [
        pytest.param({**RSA, "use": "enc"}, id="for encryption"),
        pytest.param({**RSA, "key_ops": ["sign"]}, id="for signing"),
        pytest.param({**RSA, "key_ops": 7}, id="for a number"),
        pytest.param({**RSA, "alg": "RS512"}, id="for another algorithm"),
        pytest.param({**RSA, "alg": "none"}, id="for no algorithm"),
        pytest.param({**RSA, "kty": "oct"}, id="of another type"),
        pytest.param({**RSA, "kid": 7}, id="with a number as its id"),
        pytest.param({**RSA, "d": "AQAB"}, id="with its private half"),
        pytest.param({**EC, "d": b64(PRIVATE)}, id="with its private half, on a curve"),
        pytest.param({**RSA, "n": "!"}, id="with a modulus that is none"),
        pytest.param({"kty": "RSA", "kid": "rsa-1"}, id="with nothing in it"),
        pytest.param(jwk(WEAK, "rsa-1", "RS256"), id="of 1024 bits"),
        pytest.param({"kty": "oct", "k": b64(SECRET.encode()), "kid": "rsa-1"}, id="a secret"),
        pytest.param({**EC, "crv": "P-384"}, id="of another curve"),
        pytest.param({**EC, "crv": "secp256k1"}, id="of a curve of coins"),
        pytest.param(on_curve("P-384", ec.SECP384R1()), id="of another curve, well formed"),
        pytest.param(on_curve("secp256k1", ec.SECP256K1()), id="of a curve of coins, well formed"),
        pytest.param({**EC, "x": EC["y"]}, id="of a point off the curve"),
        pytest.param({**jwk(ed_key(), "e", "EdDSA"), "crv": "X25519"}, id="for agreeing on keys"),
        pytest.param("rsa-1", id="a text"),
        pytest.param(None, id="null"),
    ],
)
def test_a_key_that_is_not_for_verifying_is_passed_over(member: object) -> None:
    with pytest.raises(ValueError, match="no key that can be used"):
        KeySet.parse(json.dumps({"keys": [member]}), ALGORITHMS)
    other = jwk(rsa_key(2), "rsa-2", "RS256")
    keys = KeySet.parse(json.dumps({"keys": [member, other]}), ALGORITHMS)
    assert not keys.find("RS256", "rsa-1")
    assert not keys.find("ES256", "ec-1")
    assert len(keys.find("RS256", "rsa-2")) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"keys":{}}', '{"keys":[]}', '{"key":[]}', "[" * 5000, '"keys"'],
)
def test_what_is_no_set_of_keys_lets_nobody_in(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        KeySet.parse(text, ALGORITHMS)
    assert isinstance(caught.value, ValueError)
    if text:
        accepter = replace(AUTHENTICATOR, keys=PinnedKeys(FixedSecret(text), ALGORITHMS))
        with pytest.raises(ConfigurationError, match="JWT_KEYS"):
            accepter.verify(sign(), NOW)


def test_pinned_keys_change_with_their_secret() -> None:
    old, new = (json.dumps({"keys": [jwk(rsa_key(n), f"k{n}", "RS256")]}) for n in (0, 1))
    clock = Clock(NOW)
    store = FakeSecretStore(Versions(old))
    secret = StoredSecret("JWT_KEYS", store.fetch, clock, cache_seconds=300)
    accepter = replace(AUTHENTICATOR, keys=PinnedKeys(secret, ALGORITHMS))
    of_old = sign(header={"kid": "k0"})
    of_new = sign(header={"kid": "k1"}, key=rsa_key(1))
    assert accepter.verify(of_old, NOW)
    assert reason(of_new, accepter) == "unknown_key"
    store.holds = Versions(new, old, clock() + 60)
    clock.now += EARLY_SECONDS
    assert accepter.verify(of_new, NOW)
    assert accepter.verify(of_old, NOW)
    clock.now += 300
    assert reason(of_old, accepter) == "unknown_key"


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"algorithms": ("HS256",)}, "JWT_SECRET"),
        ({}, "JWT_KEYS"),
    ],
)
def test_where_keys_are_unknown_nobody_can_be_let_in(
    changes: dict[str, Any], variable: str
) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        keys_of(replace(SETTINGS, **changes), literal, lambda: NOW)


def test_where_tokens_are_not_configured_nobody_can_be_let_in() -> None:
    with pytest.raises(ConfigurationError, match="JWT_ISSUER"):
        JwtAuthenticator.from_settings(make_settings(), literal, lambda: NOW)


def test_no_secret_is_shown() -> None:
    accepter = by_secret(FixedSecret(SECRET))
    keys = accepter.keys.find("HS256", None)
    assert MARKER not in repr((accepter, keys, replace(SETTINGS, secret=SECRET, keys=SECRET)))


# Mutations, by a second opinion

# More than 20 digits are refused in any claim.
numbers = st.integers(-(2**60), 2**60) | st.floats() | st.integers(int(NOW) - 9, int(NOW) + 9)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=130) | st.just(AUDIENCE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
names = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "cnf", "x"])
fields = st.sampled_from(["alg", "kid", "typ", "jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"])
algorithms = st.sampled_from(ALGORITHMS)
absent = st.just("absent")


def without(merged: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in merged.items() if value != "absent"}


def is_accepted(token: str) -> bool:
    try:
        return AUTHENTICATOR.verify(token, NOW) is not None
    except Unauthorized:
        return False


@settings(max_examples=2000, deadline=None)
@given(changes=st.dictionaries(names, values | absent, max_size=2), algorithm=algorithms)
def test_signed_tokens_of_any_claims_are_accepted_as_a_second_opinion_says(
    changes: dict[str, Any], algorithm: str
) -> None:
    token = sign(without({**claims(), **changes}), algorithm)
    assert is_accepted(token) == SECOND_OPINION.accepts(token)


@settings(max_examples=1000, deadline=None)
@given(
    changes=st.dictionaries(fields, values | algorithms | absent, max_size=2),
    algorithm=algorithms,
)
def test_signed_tokens_of_any_header_are_accepted_only_if_a_second_opinion_does(
    changes: dict[str, Any], algorithm: str
) -> None:
    key_id, make = KEYS[algorithm]
    header = without({"alg": algorithm, "kid": key_id, "typ": "JWT", **changes})
    token = sign(algorithm=algorithm, header=json_bytes(header), key=make())
    assert not is_accepted(token) or SECOND_OPINION.accepts(token)


@settings(max_examples=2000, deadline=None)
@given(
    token=st.sampled_from(sorted({*GOOD.values(), *FORGED.values()})),
    at=st.integers(0, 2000),
    length=st.integers(0, 3),
    inserted=st.text("ABz09-_.=+/ \n\0é", max_size=3),
)
def test_changed_tokens_are_accepted_only_if_a_second_opinion_does(
    token: str, at: int, length: int, inserted: str
) -> None:
    at = min(at, len(token))
    changed = token[:at] + inserted + token[at + length :]
    assert not is_accepted(changed) or SECOND_OPINION.accepts(changed)


@settings(max_examples=1000, deadline=None)
@given(token=st.text(max_size=60) | st.text("abcXYZ012-_.=", max_size=60))
def test_any_text_is_refused_and_nothing_else_happens(token: str) -> None:
    assert not is_accepted(token)
