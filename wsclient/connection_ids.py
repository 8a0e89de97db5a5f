"""Commands that take a connection's id: one in 64 begins as an option does."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import click

# An option of ours never ends like this.
_LIKE_AN_OPTION = re.compile(r"-[A-Za-z0-9_-]{10,}={1,2}")


class TakesConnectionId(click.Command):
    """Takes ``-y4CSp4VNQQEpIM=`` for what it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Have ids stand where no options are looked for."""
        options = (it for it in self.params if isinstance(it, click.Option) and not it.is_flag)
        valued = {name for option in options for name in option.opts}
        return super().parse_args(ctx, with_ids_last(args, valued))


def with_ids_last(words: Sequence[str], valued: Collection[str]) -> list[str]:
    """Put what can only be an id behind ``--``, but not what is the value of an option."""
    if "--" in words:
        return list(words)
    pairs = list(zip(["", *words], words, strict=False))
    ids = [it for last, it in pairs if _LIKE_AN_OPTION.fullmatch(it) and last not in valued]
    rest = [it for last, it in pairs if not _LIKE_AN_OPTION.fullmatch(it) or last in valued]
    return [*rest, "--", *ids] if ids else rest
