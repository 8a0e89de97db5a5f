"""docs/security.md names every decision and reason of the log, and none that it cannot have."""

import re
from pathlib import Path

from chalicelib.arrivals import STATUS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
SETTINGS_PAGE = (ROOT / "docs" / "authorizers.md").read_text()
SOURCES = [ROOT / "app.py", *(ROOT / "chalicelib").rglob("*.py")]
TEXT = "\n".join(path.read_text() for path in SOURCES)


def test_every_reason_of_a_refusal_is_explained() -> None:
    raised = set(re.findall(r'(?:Unauthorized|Forbidden)\(\s*"([a-z_]+)"', TEXT))
    raised |= {"unknown_key", "bad_signature"}  # returned, and raised by their name
    raised |= set(STATUS)  # of a connect
    table = PAGE[PAGE.index("| reason | what it was |") : PAGE.index("## Origins")]
    explained = set(re.findall(r"`([a-z_]+)`", table[: table.index("\n\n")]))
    assert len(raised) > 25
    assert explained == raised


def test_every_decision_of_the_log_is_explained() -> None:
    written = set(re.findall(r'(?<![a-z])(?:_log|_answer|counts_line)\(\s*"([a-z_]+)"', TEXT))
    log = PAGE[PAGE.index("## The log") : PAGE.index("| reason | what it was |")]
    rows = [row.split("|")[1] for row in log.splitlines() if row.startswith("| `")]
    explained = set(re.findall(r"`([a-z_]+)`", "".join(rows))) - {"decision"}
    assert len(written) > 15
    assert explained == written


def missing_on(page: str, module: str) -> set[str]:
    """Return the variables a module reads that a page does not explain."""
    source = (ROOT / "chalicelib" / module).read_text()
    text = (ROOT / "docs" / page).read_text()
    return {name for name in re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source) if name not in text}


def test_every_setting_of_authenticators_is_explained() -> None:
    source = (ROOT / "chalicelib" / "credential_settings.py").read_text()
    read = set(re.findall(r'"((?:JWT_|CREDENTIAL_|ALLOWED_)[A-Z_]+)"', source))
    stores = {name for name in read if name.endswith(("_PARAMETER", "_SECRET"))} - {"JWT_SECRET"}
    assert missing_on("lifetimes.md", "limit_settings.py") == set()
    missing = {name for name in read - stores if f"`{name}`" not in SETTINGS_PAGE}
    assert missing == set()
