"""Loads a Chalice project as Chalice's own command line does."""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalice.app import Chalice, ScheduledEventConfig, SQSEventConfig
from chalice.cli.factory import CLIFactory, UnknownConfigFileVersion
from chalice.config import Config
from chalice.deploy.validate import ExperimentalFeatureError

from localgateway.definition import ApiDefinition, read
from localgateway.errors import StartError
from localgateway.queues import EventSource, queue_name
from localgateway.schedules import Schedule

_DOMAIN_NAME = re.compile(r"https://.*domain_?name", re.IGNORECASE)

_LAMBDA_TIMEOUT = 60
"""Chalice's default, in seconds."""

DEFINITION_NAME = "websocket_api_definition"
"""The module-level name beside ``app`` under which an app says what Chalice cannot."""


@dataclass(frozen=True, slots=True)
class Project:
    """A loaded app and what the gateway needs to know of it."""

    app: Chalice
    config: Config
    definition: ApiDefinition
    functions: Mapping[str, Any]
    function_names: Mapping[str, str]
    """Every name a function may be invoked by, deployed ones too, to its own name."""
    schedules: Mapping[str, Schedule]
    event_sources: Sequence[EventSource]
    """The functions that work queues."""
    notices: Sequence[str]
    """What will not work here as it does on AWS, each to be said once."""


def environment(project_dir: Path, stage: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables of a stage and all its functions as one, and those that disagree.

    On AWS each function has its own; in one process there is one environment.
    """
    path = project_dir / ".chalice" / "config.json"
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise StartError(f"{project_dir} is no Chalice project: it has no {path.name}") from error
    except ValueError as error:
        raise StartError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise StartError(f"{path} is no JSON object")
    stages = _members(config, "stages")
    stage_config = stages.get(stage)
    if not isinstance(stage_config, dict):
        raise StartError(
            f"{path} has no stage {stage!r}; it has {', '.join(sorted(stages)) or 'none'}"
        )
    # Chalice gives a function the variables of its stage's lambda_functions, not the project's.
    functions = _members(stage_config, "lambda_functions").values()
    return _union([_variables(config), _variables(stage_config)], map(_variables, functions))


def _variables(layer: Any) -> dict[str, str]:
    return _members(layer, "environment_variables")


def _members(layer: Any, name: str) -> dict[str, Any]:
    members = layer.get(name) if isinstance(layer, dict) else None
    return members if isinstance(members, dict) else {}


def _union(
    stage_layers: Iterable[Mapping[str, str]], functions: Iterable[Mapping[str, str]]
) -> tuple[dict[str, str], list[str]]:
    union: dict[str, str] = {}
    for layer in stage_layers:
        union |= layer
    disagreeing = set()
    for function in functions:
        disagreeing |= {key for key, value in function.items() if union.get(key, value) != value}
        union |= function
    return union, sorted(disagreeing)


def load(
    project_dir: Path,
    stage: str,
    environ: MutableMapping[str, str],
    variables: Mapping[str, str],
) -> Project:
    """Import the app with ``variables`` set in ``environ``.

    Raises ``StartError``, with Chalice's words, when it cannot be imported.
    """
    if not (project_dir / "app.py").is_file() and not (project_dir / "app").is_dir():
        raise StartError(f"{project_dir} is no Chalice project: it has no app.py")
    factory = CLIFactory(str(project_dir), environ=environ)
    try:
        config = factory.create_config_obj(stage)
        app = factory.load_chalice_app(dict(variables))
    except (RuntimeError, UnknownConfigFileVersion, ExperimentalFeatureError) as error:
        raise StartError(str(error)) from error
    except Exception as error:  # the app's own code: whatever it raises is its reason
        raise StartError(_import_failure(project_dir, error)) from error
    handlers = {key: handler.name for key, handler in app.websocket_handlers.items()}
    functions = _functions(app)
    definition = read(handlers, functions, _define())
    return Project(
        app,
        config,
        definition,
        functions,
        _function_names(app, stage, functions),
        _schedules(app),
        _event_sources(app),
        [*_unserved(app), *_endpoints_of_their_own(project_dir)],
    )


def _import_failure(project_dir: Path, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(project_dir)]
    where = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    return f"app.py cannot be imported: {type(error).__name__}: {error}{where}"


def _functions(app: Chalice) -> dict[str, Any]:
    """Return what Chalice deploys as functions of their own: views are not."""
    views = {entry.view_name for route in app.routes.values() for entry in route.values()}
    return {name: handler for name, handler in app.handler_map.items() if name not in views}


def _function_names(app: Chalice, stage: str, functions: Iterable[str]) -> dict[str, str]:
    """Return the names functions are invoked by: their own, and those they are deployed as."""
    own = {name: name for name in functions}
    return own | {f"{app.app_name}-{stage}-{name}": name for name in own}


def _schedules(app: Chalice) -> dict[str, Schedule]:
    found = {}
    for source in app.event_sources:
        if isinstance(source, ScheduledEventConfig):
            expression = source.schedule_expression
            text = expression if isinstance(expression, str) else expression.to_string()
            found[source.name] = Schedule(text)
    return found


def _event_sources(app: Chalice) -> list[EventSource]:
    return [
        EventSource(
            function=source.name,
            queue_name=queue_name(source.queue or source.queue_arn or ""),
            batch_size=source.batch_size,
            batching_window=source.maximum_batching_window_in_seconds,
            maximum_concurrency=source.maximum_concurrency,
        )
        for source in app.event_sources
        if isinstance(source, SQSEventConfig)
    ]


def function_timeouts(project: Project, stage: str) -> dict[str, int]:
    """Return the time limits the functions that work queues have on Lambda, in seconds."""
    scoped = {
        source.function: project.config.scope(chalice_stage=stage, function_name=source.function)
        for source in project.event_sources
    }
    return {name: config.lambda_timeout or _LAMBDA_TIMEOUT for name, config in scoped.items()}


def _unserved(app: Chalice) -> list[str]:
    return [
        f"{source.name} is not run here: {type(source).__name__.removesuffix('Config')}"
        for source in app.event_sources
        if not isinstance(source, ScheduledEventConfig | SQSEventConfig)
    ]


def _endpoints_of_their_own(project_dir: Path) -> list[str]:
    """Name lines that build the management API's URL from the event, as samples of AWS do."""
    return [
        f"{path.name}:{number} builds an https URL from the event's domain name, which has no TLS "
        "here: use app.websocket_api, or a client without endpoint_url"
        for path in [project_dir / "app.py", *(project_dir / "chalicelib").rglob("*.py")]
        if path.is_file()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if _DOMAIN_NAME.search(line)
    ]


def _define() -> Mapping[str, Any]:
    try:
        definition: Any = getattr(sys.modules["app"], DEFINITION_NAME, dict)()
    except Exception as error:  # the app's own code: whatever it raises is its reason
        raise StartError(f"{DEFINITION_NAME}(): {type(error).__name__}: {error}") from error
    if not isinstance(definition, Mapping):
        raise StartError(f"{DEFINITION_NAME}() returns {type(definition).__name__}, not a dict")
    return definition


def point_websocket_api(app: Chalice, host_and_port: str, stage: str) -> None:
    """Make ``app.websocket_api.send``, ``info`` and ``close`` reach this gateway.

    Chalice builds an https endpoint on AWS and passes it explicitly, so no variable can change it.
    """
    app.websocket_api._WEBSOCKET_ENDPOINT_TEMPLATE = "http://{domain_name}/{stage}"
    app.websocket_api.configure(host_and_port, stage)
