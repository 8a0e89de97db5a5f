"""What can be the id of a principal. Pure."""

MAX_PRINCIPAL_CHARACTERS = 128


def is_principal_id(text: object) -> bool:
    """Tell whether a text from a token, a store or a setting can name somebody, in logs too."""
    if not isinstance(text, str):
        return False
    return 0 < len(text) <= MAX_PRINCIPAL_CHARACTERS and text.isprintable()
