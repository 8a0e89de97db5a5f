"""Where a token comes from, so that it need not be in the shell's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsclient.errors import WrongInput

TOKEN_VARIABLE = "WSCLIENT_TOKEN"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """What the options said; at most one of them."""

    token: str | None = field(default=None, repr=False)
    file: Path | None = None
    ask: bool = False

    def read(self, environ: Mapping[str, str], ask: Callable[[], str]) -> str | None:
        """Return the token; None where nothing names one."""
        if sum((self.token is not None, self.file is not None, self.ask)) > 1:
            raise WrongInput("give one of --token, --token-file and --ask-token")
        if self.token is not None:
            return self.token
        if self.file is not None:
            return _from_file(self.file)
        if self.ask:
            return ask()
        return environ.get(TOKEN_VARIABLE) or None


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise WrongInput(f"the token file {path} cannot be read") from None
