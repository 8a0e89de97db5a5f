"""Compares the schema of AsyncAPI that the tests use with the one its makers publish."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "@asyncapi/specs@6.11.1"
# As a lock file of npm has it.
INTEGRITY = "sha512-A3WBLqAKGoJ2+6FWFtpjBlCQ1oFCcs4GxF7zsIGvNqp/klGUHjlA3aAcZ9XMMpLGE8zPeYDz2x9FmO6DSuKraQ=="  # noqa: E501


def main() -> None:
    """Fetch the package, and find the same bytes in it."""
    with tempfile.TemporaryDirectory() as directory:
        fetch = ["npm", "pack", "--silent", "--pack-destination", directory, PACKAGE]
        subprocess.run(fetch, check=True, timeout=1200, stdout=subprocess.DEVNULL)
        (archive,) = (it.read_bytes() for it in Path(directory).iterdir())
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    assert f"sha512-{digest}" == INTEGRITY, digest
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        official = package.extractfile("package/schemas/3.0.0.json")
        assert official is not None
        published = official.read()
    kept = ROOT / "tests" / "schemas" / "asyncapi-3.0.0.json.gz"
    assert gzip.decompress(kept.read_bytes()) == published
    print("asyncapi: the schema is the official one", flush=True)


if __name__ == "__main__":
    main()
