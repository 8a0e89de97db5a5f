"""Runs an app's scheduled functions, each minute that they are due."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from localgateway.errors import FunctionError
from localgateway.events import Event, Stage
from localgateway.functions import Functions
from localgateway.log import logger
from localgateway.schedules import Schedule, scheduled_event


async def run_schedules(
    schedules: Mapping[str, Schedule], functions: Functions, stage: Stage
) -> None:
    """Look once a minute, on the minute, until cancelled; ``schedules`` by function name."""
    minutes = 0
    running: set[asyncio.Task[None]] = set()
    while True:
        now = datetime.now(UTC)
        await asyncio.sleep(60 - now.second - now.microsecond / 1_000_000)
        minutes += 1
        at = datetime.now(UTC)
        for name, schedule in schedules.items():
            if schedule.is_due(at, minutes):
                event = scheduled_event(name, at, stage.region, stage.account_id, str(uuid.uuid4()))
                task = asyncio.create_task(_run(functions, name, event))
                running.add(task)
                task.add_done_callback(running.discard)


async def _run(functions: Functions, name: str, event: Event) -> None:
    logger.info("schedule: %s", name)
    try:
        await functions.invoke(name, event)
    except FunctionError:
        return  # the log has it; there is nobody to answer
