def split(body):
    """``/nick x`` is the command ``nick``; anything else is said to the room."""
    if not body.startswith("/"):
        return "say", body
    command, _, text = body[1:].partition(" ")
    return command, text.strip()
