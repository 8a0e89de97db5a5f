"""Where secrets are kept: Systems Manager's Parameter Store, and Secrets Manager.

Both keep the value before the current one. It is accepted for some time after a rotation, so that
clients can be given the new one in their own time.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from chalicelib.aws import Caller
from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.json_protocol import JsonService, OperationRefused
from chalicelib.secret_values import Versions


class SecretStore(Protocol):
    """Fetches secrets by name or ARN."""

    def fetch(self, name: str) -> Versions:
        """Return what is stored.

        Raises ServiceUnavailable where the store does not say, ConfigurationError where it says
        that there is no such secret, or none for us, or none that is a text.
        """


class ParameterStore:
    """Parameters of type SecureString, or String.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
    """

    def __init__(
        self,
        client: Caller,
        backoff: Backoff,
        now: Callable[[], float],
        rotation_seconds: float,
    ) -> None:
        """``now`` is in epoch seconds."""
        self._service = JsonService(client, backoff, name="SSM", target="AmazonSSM", version="1.1")
        self._now = now
        self._rotation_seconds = rotation_seconds

    def fetch(self, name: str) -> Versions:
        """Return the latest version, and the one before it while that is accepted."""
        parameter = self._get(name)
        value, version = _text(parameter, "Value"), _number(parameter, "Version")
        until = _number(parameter, "LastModifiedDate") + self._rotation_seconds
        if version <= 1 or self._now() >= until:
            return Versions(value)
        try:
            previous = self._get(f"{name}:{int(version) - 1}")
        except OperationRefused as refusal:
            if refusal.name != "ParameterVersionNotFound":
                raise
            return Versions(value)
        return Versions(value, _text(previous, "Value"), until)

    def _get(self, name: str) -> Mapping[str, Any]:
        answer = self._service.call("GetParameter", {"Name": name, "WithDecryption": True})
        parameter = answer.get("Parameter")
        if not isinstance(parameter, dict):
            raise ServiceUnavailable("SSM, GetParameter: no parameter in the answer")
        if parameter.get("Type") == "StringList":
            raise ConfigurationError("a list, not a text")
        return parameter


class SecretsManager:
    """Secrets that are one text.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
    """

    def __init__(
        self,
        client: Caller,
        backoff: Backoff,
        now: Callable[[], float],
        rotation_seconds: float,
    ) -> None:
        """``now`` is in epoch seconds."""
        self._service = JsonService(
            client, backoff, name="Secrets Manager", target="secretsmanager", version="1.1"
        )
        self._now = now
        self._rotation_seconds = rotation_seconds

    def fetch(self, name: str) -> Versions:
        """Return what is labelled AWSCURRENT, and AWSPREVIOUS while that is accepted."""
        secret = self._get(name, "AWSCURRENT")
        if "SecretString" not in secret:
            raise ConfigurationError("binary, not a text")
        value = _text(secret, "SecretString")
        until = _number(secret, "CreatedDate") + self._rotation_seconds
        if self._now() >= until:
            return Versions(value)
        try:
            previous = self._get(name, "AWSPREVIOUS")
        except OperationRefused as refusal:
            if refusal.name != "ResourceNotFoundException":
                raise
            return Versions(value)
        return Versions(value, previous.get("SecretString"), until)

    def _get(self, name: str, stage: str) -> Mapping[str, Any]:
        return self._service.call("GetSecretValue", {"SecretId": name, "VersionStage": stage})


def _text(answer: Mapping[str, Any], member: str) -> str:
    value = answer.get(member)
    if not isinstance(value, str):
        raise ServiceUnavailable(f"{member} in the answer is no text")
    return value


def _number(answer: Mapping[str, Any], member: str) -> float:
    value = answer.get(member)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ServiceUnavailable(f"{member} in the answer is no number")
    return float(value)
