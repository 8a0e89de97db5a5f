"""``python -m localgateway``: the command line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from localgateway import log
from localgateway.database import DEFAULT_PORT
from localgateway.errors import StartError
from localgateway.options import DELIVERIES, DISCONNECTS, Options

_FILES = 65_536
_PORT = click.IntRange(0, 65_535)


@click.command(context_settings={"max_content_width": 100, "show_default": True})
@click.option(
    "--project-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, resolve_path=True),
    default=Path(),
    help="The Chalice project: app.py and .chalice/config.json.",
)
@click.option("--stage", metavar="NAME", default="dev", help="Chalice stage of config.json.")
@click.option(
    "--host",
    default="127.0.0.1",
    help="Address to listen on. Any but loopback lets other machines use the app.",
)
@click.option("--port", type=_PORT, default=8000, help="Port of everything; 0: a free one.")
@click.option("--api-stage", metavar="NAME", default="api", help="Stage in the URL.")
@click.option(
    "--template",
    "templates",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path, resolve_path=True),
    help="A CloudFormation or SAM template to honour: tables, queues, authorizer, routes, "
    "integrations, responses, variables. What cannot be honoured is named. Repeatable; later files "
    "win.",
)
@click.option("--reload", is_flag=True, help="Start anew whenever a file of the project is saved.")
@click.option(
    "--no-database",
    is_flag=True,
    help="Start no embedded engine, and point the app at none: neither tables nor queues.",
)
@click.option(
    "--database",
    metavar="URL",
    help="Use this DynamoDB-compatible engine, not the embedded one, for tables.",
)
@click.option(
    "--queues",
    metavar="URL",
    help="Use this SQS-compatible engine, not the embedded one, for queues.",
)
@click.option(
    "--database-port",
    type=_PORT,
    default=DEFAULT_PORT,
    help="Port of the embedded engine; 0: a free one.",
)
@click.option(
    "--env",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a variable for the app, over config.json and templates. Repeatable.",
)
@click.option(
    "--limit",
    metavar="NAME=NUMBER",
    multiple=True,
    help="Change a quota, such as idle_timeout=5 or connects_per_second=500. Repeatable; a wrong "
    "NAME lists them.",
)
@click.option(
    "--disconnects",
    type=click.Choice(list(DISCONNECTS)),
    default="once",
    help="How often $disconnect is invoked: on AWS it is a best effort.",
)
@click.option(
    "--deliveries",
    type=click.Choice(list(DELIVERIES)),
    default="once",
    help="How often a queue's message is delivered: SQS promises once at least.",
)
@click.option(
    "--all-cpus",
    is_flag=True,
    help="Run on every CPU. By default on one at a time, which is faster, except for functions "
    "that compute in native code or start programs that do.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text")
def main(**options: Any) -> None:
    """Serve a Chalice app's WebSocket API, management API and HTTP routes on one port.

    The app runs unmodified, with API Gateway's own semantics and an embedded engine for DynamoDB
    and SQS; it needs no AWS account. Queue handlers and schedules run, too. Handlers run in this
    process, so breakpoint() works. Ctrl-C stops everything.

    \b
    Examples:
      python -m localgateway --stage local
      python -m localgateway --project-dir ../chat --template out/sam.json --reload
      python -m localgateway --limit idle_timeout=5 --disconnects never
    """  # noqa: D301 - click wants the character, and no blank line in its paragraph
    log.configure(options["log_format"], sys.stderr)
    _raise_file_limit()
    reload = options.pop("reload")
    try:
        if reload:
            _reload(Options(**options))
        else:
            # Imported late: the parent of --reload and --help need none of it.
            from localgateway.run import run

            run(Options(**options), os.environ)
    except StartError as error:
        sys.exit(f"localgateway: {error}")


def _reload(options: Options) -> None:
    from localgateway.reloader import run_reloading

    arguments = [argument for argument in sys.argv[1:] if argument != "--reload"]
    run_reloading([options.project_dir, *options.templates], arguments)


def _raise_file_limit() -> None:
    """Let every connection have its file descriptor: the usual soft limit is 1,024."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    with suppress(ValueError, OSError):  # macOS refuses some of what it says it allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    main()
