"""The app's Lambda functions: run in this process, concurrently, off the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from localgateway.errors import FunctionError, FunctionTimedOut
from localgateway.events import Event
from localgateway.lambda_context import LambdaContext
from localgateway.log import logger
from localgateway.workers import MAX_THREADS, Workers

Handler = Callable[[Event, Any], Any]

_MEMORY_MB = 128
_FEW_WAITING = 16
_PAUSE_SECONDS = 0.001


class Functions:
    """Invokes functions by name, as Lambda would: events in, JSON out."""

    def __init__(
        self, handlers: Mapping[str, Handler], *, timeout: float, concurrency: int = MAX_THREADS
    ) -> None:
        """``timeout`` is the integration's in seconds, and the time a function sees remaining."""
        self._handlers = handlers
        self._timeout = timeout
        self._workers = Workers(most=concurrency)
        self._closed = False

    async def invoke(self, name: str, event: Any) -> Any:
        """Return the function's answer as its JSON reads; raises ``FunctionError``.

        A function past its time limit cannot be stopped here: the caller gets ``FunctionTimedOut``
        and it runs on, as it would on Lambda until Lambda's own limit.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._workers.run(lambda: self._run(name, event))
        except TimeoutError:
            logger.error("%s is still running after %g s", name, self._timeout)
            message = f"Task timed out after {self._timeout:.2f} seconds"
            raise FunctionTimedOut(name, message, "Sandbox.Timedout") from None

    async def ready(self) -> None:
        """Return when few invocations wait for a thread, and the caller's last one is counted."""
        await asyncio.sleep(0)
        while self._workers.waiting > _FEW_WAITING:
            await asyncio.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Take no more invocations; those that run are not waited for, and fail unheard.

        What they call goes as well, so that whatever they raise from now on says nothing.
        """
        self._closed = True
        self._workers.close()

    def _run(self, name: str, event: Any) -> Any:
        context = LambdaContext(name, _MEMORY_MB, self._timeout)
        try:
            answer = self._handlers[name](event, context)
            if answer is None:
                return None
            # Lambda answers with JSON; what does not survive it is the function's fault.
            return json.loads(json.dumps(answer, allow_nan=False))
        except (Exception, SystemExit) as error:  # whatever a handler raises, Lambda reports
            if str(error) != "Unauthorized" and not self._closed:
                logger.error("%s raised", name, exc_info=error)
            raise FunctionError(name, str(error), type(error).__name__) from error
