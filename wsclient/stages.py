"""The URL of a stage, as Chalice has written it down when it deployed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from wsclient.errors import WrongInput
from wsclient.target import check_url

LOCAL_STAGE = "local"
LOCAL_URL = "ws://127.0.0.1:8000/api"
LOCAL_HTTP_URL = "http://127.0.0.1:8000"
"""What ``make run`` serves."""

_STAGE = re.compile(r"[A-Za-z0-9_-]{1,128}")


def stage_url(stage: str, project: Path) -> str:
    """Return the URL of a stage's WebSocket API; raises WrongInput that says how to get one."""
    return check_url(_deployed_url(stage, project, "websocket_api", LOCAL_URL))


def http_url(stage: str, project: Path) -> str:
    """Return the URL of a stage's HTTP API; raises as ``stage_url``."""
    return _deployed_url(stage, project, "rest_api", LOCAL_HTTP_URL)


def _deployed_url(stage: str, project: Path, kind: str, local_url: str) -> str:
    if not _STAGE.fullmatch(stage):
        raise WrongInput("a stage's name is made of letters, digits, _ and -")
    path = project / ".chalice" / "deployed" / f"{stage}.json"
    try:
        deployed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if stage == LOCAL_STAGE:
            return local_url
        raise WrongInput(
            f"stage {stage} is not deployed from here: there is no {path}. "
            "Name the URL instead, or another --project-dir"
        ) from None
    except (OSError, ValueError):
        raise WrongInput(f"{path} cannot be read") from None
    url = _url_of(kind, deployed)
    if url is None:
        raise WrongInput(f"{path} names no {_NAMES[kind]}")
    return url


_NAMES = {"websocket_api": "WebSocket API", "rest_api": "HTTP API"}


def _url_of(kind: str, deployed: Any) -> str | None:
    resources = deployed.get("resources") if isinstance(deployed, dict) else None
    for resource in resources if isinstance(resources, list) else []:
        if isinstance(resource, dict) and resource.get("resource_type") == kind:
            url = resource.get(f"{kind}_url")
            return url if isinstance(url, str) else None
    return None
