"""Puts the parts together: a project, a database, a port; serves until told to stop."""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from localgateway.banner import banner
from localgateway.cloudformation import Template
from localgateway.database import create_table
from localgateway.engines import Engines
from localgateway.errors import StartError
from localgateway.events import Stage
from localgateway.functions import Functions
from localgateway.gateway import Gateway
from localgateway.gateway_responses import GatewayResponses
from localgateway.http_routes import HttpRoutes
from localgateway.lambda_api import LambdaApi
from localgateway.limits import Limits
from localgateway.log import logger
from localgateway.one_cpu import is_possible, stay_on_one_cpu
from localgateway.options import DELIVERIES, DISCONNECTS, Options
from localgateway.project import (
    Project,
    environment,
    function_timeouts,
    load,
    point_websocket_api,
)
from localgateway.queues import QueueDefinition, read_queues
from localgateway.scheduler import run_schedules
from localgateway.server import BACKLOG, Server

if TYPE_CHECKING:
    from localgateway.queue_handlers import QueueHandlers

REGION = "us-east-1"
_LOCAL_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


def run(options: Options, environ: MutableMapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM; raises ``StartError`` when it cannot start."""
    options.check()
    limits = Limits.parse(options.limit)
    template = Template.read(options.templates)
    with closing(listen(options.host, options.port)) as listener:
        address = f"{_reachable(options.host)}:{listener.getsockname()[1]}"
        # The engine starts while the app is imported: that takes about as long.
        with Engines(options) as engines:
            variables = _variables(options, environ, address, engines)
            region = variables.get("AWS_REGION") or variables["AWS_DEFAULT_REGION"]
            stage = Stage(options.api_stage, region=region, domain_name=address)
            project = _load(options, environ, template, stage, variables)
            queues = read_queues(project.definition.queues, stage)
            engines.wait(has_queues=bool(queues or project.event_sources))
            if engines.database_url is not None:
                for table in project.definition.tables:
                    create_table(engines.database_url, table, region)
            serving = _serve(
                options,
                project,
                stage,
                limits=limits,
                listener=listener,
                engines=engines,
                queues=queues,
            )
            asyncio.run(serving)


def _variables(
    options: Options, environ: Mapping[str, str], address: str, engines: Engines
) -> dict[str, str]:
    """Return what the app finds in its environment: ours, then config.json's, then --env's."""
    configured, disagreeing = environment(options.project_dir, options.stage)
    for name in disagreeing:
        logger.warning("functions disagree on %s: in one process all get the last value", name)
    endpoints = {
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"http://{address}/{options.api_stage}"
    }
    if engines.database_url is not None:
        endpoints["AWS_ENDPOINT_URL_DYNAMODB"] = engines.database_url
    if engines.queues_url is not None:
        endpoints["AWS_ENDPOINT_URL_SQS"] = engines.queues_url
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
    queues_url = variables.get("AWS_ENDPOINT_URL_SQS")
    variables |= {**template.environment(stage, queues_url), **options.variables()}
    project = load(options.project_dir, options.stage, environ, variables)
    tables = (*project.definition.tables, *template.tables(stage))
    queues = (*project.definition.queues, *template.queues(stage))
    sources = template.event_sources(
        project.event_sources, project.definition, project.functions, stage
    )
    definition = template.extend(project.definition, project.functions, stage)
    point_websocket_api(project.app, stage.domain_name, stage.name)
    for notice in (*project.notices, *template.unsupported):
        logger.warning("%s", notice)
    definition = replace(definition, tables=tables, queues=queues)
    return replace(project, definition=definition, event_sources=sources)


async def _serve(
    options: Options,
    project: Project,
    stage: Stage,
    *,
    limits: Limits,
    listener: socket.socket,
    engines: Engines,
    queues: Sequence[QueueDefinition],
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
    responses = GatewayResponses(project.definition.gateway_responses)
    routes = None
    if project.app.routes:
        variables = project.definition.http_stage_variables
        routes = HttpRoutes(project.app, project.config, responses, variables)
    server = Server(gateway, routes, LambdaApi(functions, project.function_names))
    handlers = await _start_queues(
        options, project, stage, functions, server=server, engines=engines, queues=queues
    )
    await server.start(listener)
    beside = [asyncio.create_task(run_schedules(project.schedules, functions, stage))]
    if not options.all_cpus and is_possible():
        beside.append(asyncio.create_task(stay_on_one_cpu()))
    gc.freeze()  # what start-up made is never collected: spare the collector looking at it again
    worked = [(each.queue_name, each.function) for each in project.event_sources]
    click.echo(
        banner(
            project.definition,
            stage,
            engines.database_url,
            has_http=routes is not None,
            queues_url=engines.queues_url if handlers is not None else None,
            worked=worked,
        )
    )
    await stop.wait()
    click.echo("stopping")
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    if handlers is not None:
        await handlers.stop()
    await server.stop()
    if handlers is not None:
        await handlers.close()


async def _start_queues(
    options: Options,
    project: Project,
    stage: Stage,
    functions: Functions,
    *,
    server: Server,
    engines: Engines,
    queues: Sequence[QueueDefinition],
) -> QueueHandlers | None:
    """Create the app's queues and poll those that functions work; None where there are none."""
    if not queues and not project.event_sources:
        return None
    if engines.queues_url is None:
        names = ["no queue", *sorted({source.function for source in project.event_sources})]
        logger.warning("with --no-database there is %s; see --queues", ", no ".join(names))
        return None
    # Late: most apps have no queue, and need not keep the code for it in memory.
    from localgateway.queue_handlers import QueueHandlers
    from localgateway.sqs import Sqs

    return await QueueHandlers.start(
        Sqs(engines.queues_url, stage.region),
        queues,
        project.event_sources,
        functions,
        server.spawn,
        region=stage.region,
        concurrency=server.limits.queue_concurrency,
        deliveries=DELIVERIES[options.deliveries],
        function_timeouts=function_timeouts(project, options.stage),
    )


def stop_on_signals() -> asyncio.Event:
    """Return an event of the running loop that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not add_signal_handler: it sends the number through a pipe that finished functions fill
        # too, and a signal that meets a full pipe is lost.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


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
