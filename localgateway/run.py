"""Puts the parts together: a project, a database, a port; serves until told to stop."""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager
from dataclasses import replace
from ipaddress import ip_address

import click

from localgateway.banner import banner
from localgateway.cloudformation import Template
from localgateway.database import EmbeddedDatabase, create_table
from localgateway.errors import StartError
from localgateway.events import Stage
from localgateway.functions import Functions
from localgateway.gateway import Gateway
from localgateway.http_routes import HttpRoutes
from localgateway.lambda_api import LambdaApi
from localgateway.limits import Limits
from localgateway.log import logger
from localgateway.one_cpu import is_possible, stay_on_one_cpu
from localgateway.options import DISCONNECTS, Options
from localgateway.project import Project, environment, load, point_websocket_api
from localgateway.scheduler import run_schedules
from localgateway.server import BACKLOG, Server

REGION = "us-east-1"
_LOCAL_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


def run(options: Options, environ: MutableMapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM; raises ``StartError`` when it cannot start."""
    options.check()
    limits = Limits.parse(options.limit)
    template = Template.read(options.templates)
    with closing(listen(options.host, options.port)) as listener:
        address = f"{_reachable(options.host)}:{listener.getsockname()[1]}"
        with _database(options) as (database_url, wait_for_database):
            # The engine starts while the app is imported: that takes about as long.
            variables = _variables(options, environ, address, database_url)
            region = variables.get("AWS_REGION") or variables["AWS_DEFAULT_REGION"]
            stage = Stage(options.api_stage, region=region, domain_name=address)
            project = _load(options, environ, template, stage, variables)
            if database_url is not None:
                wait_for_database()
                for table in project.definition.tables:
                    create_table(database_url, table, region)
            serving = _serve(
                options, project, stage, limits=limits, listener=listener, database_url=database_url
            )
            asyncio.run(serving)


def _variables(
    options: Options, environ: Mapping[str, str], address: str, database_url: str | None
) -> dict[str, str]:
    """Return what the app finds in its environment: ours, then config.json's, then --env's."""
    configured, disagreeing = environment(options.project_dir, options.stage)
    for name in disagreeing:
        logger.warning("functions disagree on %s: in one process all get the last value", name)
    endpoints = {
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"http://{address}/{options.api_stage}"
    }
    if database_url is not None:
        endpoints["AWS_ENDPOINT_URL_DYNAMODB"] = database_url
    defaults = {
        **_LOCAL_CREDENTIALS,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_LAMBDA": f"http://{address}",
    }
    given = {name: environ.get(name, value) for name, value in defaults.items()}
    return {**given, **configured, **endpoints, **options.variables()}


def _load(
    options: Options,
    environ: MutableMapping[str, str],
    template: Template,
    stage: Stage,
    variables: dict[str, str],
) -> Project:
    """Import the app, and put over its own definition what the templates say."""
    variables = {**variables, **template.environment(stage), **options.variables()}
    project = load(options.project_dir, options.stage, environ, variables)
    tables = (*project.definition.tables, *template.tables(stage))
    definition = template.extend(project.definition, project.functions, stage)
    point_websocket_api(project.app, stage.domain_name, stage.name)
    for notice in (*project.notices, *template.unsupported):
        logger.warning("%s", notice)
    return replace(project, definition=replace(definition, tables=tables))


async def _serve(
    options: Options,
    project: Project,
    stage: Stage,
    *,
    limits: Limits,
    listener: socket.socket,
    database_url: str | None,
) -> None:
    stop = stop_on_signals()
    functions = Functions(project.functions, timeout=limits.integration_timeout)
    gateway = Gateway(
        project.definition,
        stage,
        functions,
        clock=_milliseconds,
        entropy=secrets.token_bytes,
        limits=limits,
        disconnects=DISCONNECTS[options.disconnects],
    )
    routes = HttpRoutes(project.app, project.config) if project.app.routes else None
    server = Server(gateway, routes, LambdaApi(functions, project.function_names))
    await server.start(listener)
    beside = [asyncio.create_task(run_schedules(project.schedules, functions, stage))]
    if not options.all_cpus and is_possible():
        beside.append(asyncio.create_task(stay_on_one_cpu()))
    gc.freeze()  # what start-up made is never collected: spare the collector looking at it again
    click.echo(banner(project.definition, stage, database_url, has_http=routes is not None))
    await stop.wait()
    click.echo("stopping")
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await server.stop()
    functions.close()


def stop_on_signals() -> asyncio.Event:
    """Return an event of the running loop that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not add_signal_handler: it sends the number through a pipe that finished functions fill
        # too, and a signal that meets a full pipe is lost.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


@contextmanager
def _database(options: Options) -> Iterator[tuple[str | None, Callable[[], None]]]:
    """Yield the URL of the engine to use, if any, and what waits until it answers."""
    if options.database is not None or options.no_database:
        yield options.database, lambda: None
        return
    engine = EmbeddedDatabase.start(options.database_port)
    try:
        yield engine.endpoint_url, engine.wait
    finally:
        engine.stop()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections already; raises ``StartError`` for a taken port."""
    if not _is_loopback(host):
        logger.warning("%s can be reached from other machines; anybody there can use the app", host)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # at once: a second gateway must fail here, not when it serves
    except OSError as error:
        listener.close()
        raise StartError(
            f"port {port} on {host} cannot be used ({error.strerror}): stop what runs there, or "
            "choose another with --port (make run PORT=8001)"
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _reachable(host: str) -> str:
    """Return the address handlers in this process reach the gateway at."""
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
