"""What a decision on a token costs where its key is known: CPU time of the whole authorizer.

In a process of its own, with the authorizer as it is deployed; its log is written to a pipe.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from benchmarks import report
from benchmarks.load import Figures
from benchmarks.parameters import Parameters
from benchmarks.target import BenchmarkError

ROOT = Path(__file__).parent.parent
_PROCESS = Path(__file__).with_name("decisions_process.py")
_STAGE = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/api"
_ISSUER = "https://issuer.example"


def measure(parameters: Parameters) -> dict[str, Any]:
    """Return the figures of each algorithm: CPU ms of one decision."""
    cases = {"RS256": _rsa(), "ES256": _ec(), "EdDSA": _ed()}
    runs: dict[str, list[Figures]] = {algorithm: [] for algorithm in cases}
    for _ in range(parameters.repeat):
        for algorithm, (key, token) in cases.items():
            runs[algorithm].append(_run(algorithm, key, token))
    return {algorithm: report.summary(found) for algorithm, found in runs.items()}


def _run(algorithm: str, key: dict[str, Any], token: str) -> Figures:
    event = {
        "type": "REQUEST",
        "methodArn": f"{_STAGE}/$connect",
        "headers": {"Host": "abcdef1234.execute-api.eu-west-1.amazonaws.com"},
        "multiValueHeaders": {"Authorization": [f"Bearer {token}"]},
        "requestContext": {"connectionId": "L0SM9cOFvHcCIhw="},
    }
    completed = subprocess.run(
        [sys.executable, str(_PROCESS), str(ROOT), json.dumps(event)],
        env={
            **os.environ,
            "STAGE": "prod",
            "TABLE_NAME": "portcullis-prod",
            "AWS_REGION": "eu-west-1",
            "AUTHENTICATORS": "jwt",
            "JWT_ISSUER": _ISSUER,
            "JWT_AUDIENCE": "portcullis",
            "JWT_ALGORITHMS": algorithm,
            "JWT_KEYS": json.dumps({"keys": [key]}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        raise BenchmarkError(f"{algorithm}: {completed.stderr[-2000:]}")
    figures: Figures = json.loads(completed.stdout.splitlines()[-1])  # the others are the log
    return figures


def _rsa() -> tuple[dict[str, Any], str]:
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    public = {"kty": "RSA", "n": _number(numbers.n, 256), "e": _number(numbers.e, 3)}
    data = _signing_input("RS256")
    return _named(public), _token(data, key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def _ec() -> tuple[dict[str, Any], str]:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    public = {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
    data = _signing_input("ES256")
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return _named(public), _token(data, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def _ed() -> tuple[dict[str, Any], str]:
    key = ed25519.Ed25519PrivateKey.generate()
    x = _encoded(key.public_key().public_bytes_raw())
    data = _signing_input("EdDSA")
    return _named({"kty": "OKP", "crv": "Ed25519", "x": x}), _token(data, key.sign(data))


def _named(public: dict[str, Any]) -> dict[str, Any]:
    return {**public, "kid": "1", "use": "sig"}


def _signing_input(algorithm: str) -> bytes:
    now = int(time.time())
    header = {"alg": algorithm, "kid": "1", "typ": "JWT"}
    claims = {"iss": _ISSUER, "aud": "portcullis", "sub": "a", "iat": now, "exp": now + 3600}
    return (
        f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}".encode()
    )


def _token(data: bytes, signature: bytes) -> str:
    return f"{data.decode()}.{_encoded(signature)}"


def _number(value: int, size: int) -> str:
    return _encoded(value.to_bytes(size, "big"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
