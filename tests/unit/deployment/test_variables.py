"""Variables of config.json that are nearly one of the app's are refused, and no others."""

import re
from pathlib import Path

import pytest

from chalicelib.settings import Settings, known_variables
from deployment.errors import DeploymentRefused
from deployment.variables import refuse_misspelt

ROOT = Path(__file__).parents[3]
KNOWN = known_variables()
DOCUMENTED = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("ALLOW_ORIGINS", "ALLOWED_ORIGINS"),
        ("allowed_origins", "ALLOWED_ORIGINS"),
        ("ALLOWED-ORIGINS", "ALLOWED_ORIGINS"),
        ("MESSAGES_RATE", "MESSAGE_RATE"),
        ("DEFAULT_SCOPE", "DEFAULT_SCOPES"),
        ("AUTHENTICATOR", "AUTHENTICATORS"),
        ("CEDAR_POLICY", "CEDAR_POLICIES"),
        ("JWT_CLIENT_ID", "JWT_CLIENT_IDS"),
        ("JWT_ISS", "JWT_ISSUER"),
        ("MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_PRINCIPAL"),
        ("CONNECTION_TTL", "CONNECTION_TTL_SECONDS"),
        ("CORS_ALLOWED_ORIGIN", "CORS_ALLOW_ORIGIN"),
        ("HTTP_AUTHORISER", "HTTP_AUTHORIZER"),
    ],
)
def test_a_variable_that_is_nearly_one_of_the_apps_is_refused(written: str, meant: str) -> None:
    with pytest.raises(DeploymentRefused, match=rf"{written} \(is {meant} meant\?\)"):
        refuse_misspelt(["STAGE", written], KNOWN, ())
    refuse_misspelt(["STAGE", written], KNOWN, [written])


@pytest.mark.parametrize(
    "name",
    [
        "STAGE_NAME",
        "ORDERS_TABLE_NAME",
        "LOG_LEVEL",
        "POWERTOOLS_SERVICE_NAME",
        "QUEUE_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_SNS",
        "AWS_ACCESS_KEY_ID",
        "PYTHONPATH",
        "TOKEN",
    ],
)
def test_a_variable_of_somebody_elses_is_nobodys_business(name: str) -> None:
    refuse_misspelt([name], KNOWN, ())
    refuse_misspelt([name], (), ())


def test_all_that_are_wrong_are_named_at_once() -> None:
    with pytest.raises(DeploymentRefused, match=r"DEFAULT_SCOPE .*, MESSAGES_RATE "):
        refuse_misspelt(["MESSAGES_RATE", "DEFAULT_SCOPE"], KNOWN, ())


def test_every_variable_the_app_knows_is_in_its_documentation_and_the_other_way_round() -> None:
    stored = {name for name in KNOWN if name.endswith(("_PARAMETER", "_SECRET"))}
    missing = {name for name in KNOWN - stored if not re.search(rf"\b{name}\b", DOCUMENTED)}
    # The page writes one name for all of the services.
    assert {name for name in missing if not name.startswith("AWS_ENDPOINT_URL_")} == set()
    rows = re.findall(r"^\| (`[A-Z][A-Z_`, ]+) \|", DOCUMENTED, re.MULTILINE)
    explained = set(re.findall(r"`([A-Z][A-Z_]+)`", "\n".join(rows)))
    assert len(explained) > 40
    assert explained - {"WSCLIENT_TOKEN"} <= KNOWN


def test_what_is_known_does_not_depend_on_what_a_stage_has_chosen() -> None:
    for name in ("JWT_ISSUER", "JWT_JWKS_URL", "STAGE_VARIABLE_NAME", "HEADER_AUTH_VALUE_SECRET"):
        assert name in KNOWN
    assert "AUTHORIZER" not in KNOWN
    assert Settings.from_environ({"STAGE": "prod", "TABLE_NAME": "portcullis-prod"})
