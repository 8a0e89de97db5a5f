"""docs/authorizers.md: what it gives to paste is read, and lets in what providers give out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from chalice.app import Chalice

from chalicelib.authorizers.jwt import JwtAuthenticator
from chalicelib.authorizers.jwt_keys import PinnedKeys
from chalicelib.errors import Unauthorized
from chalicelib.secret_values import FixedSecret
from chalicelib.settings import Settings
from localgateway.iam import is_allowed
from tests.chalice_project import ROOT
from tests.factories import NOW
from tests.tokens import key_set, sign

PAGE = (ROOT / "docs" / "authorizers.md").read_text("utf-8")
SECTION = PAGE[PAGE.index("### Settings to paste") : PAGE.index("## API keys")]
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE"


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def pasted(provider: str, more: str = "") -> Settings:
    """Read what stands below a provider's name, as a stage's variables."""
    text = SECTION[SECTION.index(provider) :]
    block = blocks("json", text)[0].rstrip().rstrip(",")
    variables = json.loads(f"{{{block}{more}}}")
    assert all(isinstance(value, str) for value in variables.values())
    filled = {name: re.sub(r"<[^>]+>", "example", value) for name, value in variables.items()}
    required = {"STAGE": "prod", "TABLE_NAME": "portcullis-prod", "AUTHENTICATORS": "jwt,ticket"}
    return Settings.from_environ({**required, **filled})


def lets_in(settings: Settings, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return whom a token of these claims lets in, and what for."""
    assert settings.jwt is not None
    keys = PinnedKeys(FixedSecret(json.dumps(key_set())), settings.jwt.algorithms)
    accepter = JwtAuthenticator(settings.jwt, keys, (), settings.default_scopes, 7200)
    whole = {"sub": "a1b2c3", "iat": int(NOW) - 5, "exp": int(NOW) + 3600, **claims}
    principal = accepter.verify(sign(whole, header={"typ": None, **header}), NOW)
    return f"{principal.principal_id}: {principal.scopes}"


# What access tokens hold, by the providers' documentation.
COGNITO = {
    "iss": POOL,
    "client_id": "example",
    "token_use": "access",
    "origin_jti": "0b6f2d3c",
    "scope": "openid portcullis/connect portcullis/join:channel:*",
    "auth_time": int(NOW) - 5,
    "version": 2,
    "jti": "5e0c8d74-4e2b-4d5e-9a2f-2f6d0b6d3c11",
    "username": "alice",
}
AUTH0 = {
    "iss": "https://example.auth0.com/",
    "aud": ["example", "https://example.auth0.com/userinfo"],
    "azp": "abc",
    "scope": "openid profile",
    "permissions": ["connect", "publish", "read:all"],
}
OKTA = {
    "ver": 1,
    "iss": "https://example.okta.com/oauth2/default",
    "aud": "api://default",
    "cid": "0oab",
    "uid": "00u1",
    "scp": ["openid", "connect"],
}
KEYCLOAK = {
    "iss": "https://example/realms/example",
    "aud": ["example", "account"],
    "typ": "Bearer",
    "azp": "console",
    "scope": "profile connect",
}


@pytest.mark.parametrize(
    ("provider", "header", "claims", "who"),
    [
        pytest.param("Amazon Cognito", {}, COGNITO, "a1b2c3: connect sendmessage", id="Cognito"),
        pytest.param("Auth0", {"typ": "at+jwt"}, AUTH0, "a1b2c3: connect publish", id="Auth0"),
        pytest.param("Okta", {}, OKTA, "a1b2c3: connect", id="Okta"),
        pytest.param("Keycloak", {"typ": "JWT"}, KEYCLOAK, "a1b2c3: connect", id="Keycloak"),
    ],
)
def test_pasted_settings_let_in_the_providers_access_tokens_and_no_others(
    provider: str, header: dict[str, Any], claims: dict[str, Any], who: str
) -> None:
    settings = pasted(provider)
    assert settings.jwt is not None
    assert settings.jwt.jwks_url is not None
    assert settings.jwt.jwks_url.startswith(settings.jwt.issuer.rstrip("/"))
    assert lets_in(settings, header, claims) == who
    for wrong in ({"iss": f"{claims['iss']}x"}, {"aud": "other", "client_id": "other"}):
        with pytest.raises(Unauthorized):
            lets_in(settings, header, {**claims, **wrong})


def test_an_id_token_of_cognito_is_refused() -> None:
    claims = {**COGNITO, "token_use": "id", "aud": "example"}
    with pytest.raises(Unauthorized, match="wrong_token_use"):
        lets_in(pasted("Amazon Cognito"), {}, claims)


def test_scopes_of_a_resource_server_of_cognito_are_ours_by_their_prefix() -> None:
    (more,) = re.findall(r'add `("JWT_SCOPE_CLAIM".*?)`', SECTION, re.DOTALL)
    settings = pasted("Amazon Cognito", f", {more}")
    assert lets_in(settings, {}, COGNITO) == "a1b2c3: connect join:channel:*"


ARN = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/api/GET/orders"


def test_the_authorizer_to_copy_answers_for_the_whole_request() -> None:
    (snippet,) = (text for text in blocks("python") if "import see_whole_requests" in text)
    app = Chalice("orders")
    exec(snippet, {"app": app})
    authorizer: Any = app.routes["/orders"]["GET"].authorizer
    assert list(authorizer.identity_sources) == ["method.request.header.X-Robot"]
    event = {"type": "REQUEST", "methodArn": ARN, "headers": {"x-robot": "r2"}}
    answer = authorizer(event, None)
    assert answer["principalId"] == "r2"
    assert is_allowed(answer["policyDocument"], ARN, "192.0.2.7")
    assert not is_allowed(answer["policyDocument"], f"{ARN}s", "192.0.2.7")
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer({**event, "headers": {"X-Robot": "another"}}, None)


def test_every_block_to_paste_is_tried_somewhere() -> None:
    """Here, in tests/browser/test_authorizers_page.py and in tests/documents."""
    counts = {language: len(blocks(language, SECTION)) for language in ("js", "json", "python")}
    assert counts == {"js": 0, "json": 4, "python": 0}
    assert len(blocks("js")) == 2
