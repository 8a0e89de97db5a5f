"""What can be the id of a principal, and what is a credential put in its place. Pure."""

import re

MAX_PRINCIPAL_CHARACTERS = 128
PRINCIPAL_RULE = f"1 to {MAX_PRINCIPAL_CHARACTERS} printable characters, and no credential"
# The credentials that can be told from names: our API keys, whose form is that of
# ``authorizers/api_key.py``, broken ones too; and JSON Web Tokens.
_CREDENTIAL = re.compile(
    r"pk_[0-9a-f]{16}_[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*"
)


def is_principal_id(text: object) -> bool:
    """Tell whether a text from a token, a store or a setting can name somebody, in logs too."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_PRINCIPAL_CHARACTERS:
        return False
    return text.isprintable() and _CREDENTIAL.search(text) is None


def without_credentials(text: str) -> str:
    """Return a text as the log may have it, whatever somebody took for a name."""
    return _CREDENTIAL.sub("(a credential)", text)
