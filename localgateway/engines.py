"""Where tables and queues are: in one embedded engine, or where the command line says."""

from __future__ import annotations

import socket
from types import TracebackType

from localgateway.database import HOST, EmbeddedDatabase, reserve
from localgateway.options import Options


class Engines:
    """Runs the embedded engine, if anything needs it, until left as a context."""

    def __init__(self, options: Options) -> None:
        """Start the engine where it holds tables: that takes about as long as importing the app.

        Where ``--database`` names another engine for them it starts in ``wait``, if at all. Raises
        ``StartError`` when its port is taken.
        """
        self._embedded: EmbeddedDatabase | None = None
        self._port: int | None = None
        """Of an engine that is started only if there are queues."""
        self._reserved: socket.socket | None = None
        """Keeps that port, where any will do, until the engine has it."""
        self.database_url = options.database
        self.queues_url = options.queues
        if options.no_database:
            return
        if options.database is None:
            self._embedded = EmbeddedDatabase.start(options.database_port)
            self.database_url = self._embedded.endpoint_url
            self.queues_url = options.queues or self.database_url
        elif options.queues is None:
            self._port = options.database_port or self._any_port()
            self.queues_url = f"http://{HOST}:{self._port}"

    def wait(self, *, has_queues: bool) -> None:
        """Return once the embedded engine accepts connections, if there is one."""
        if has_queues and self._port is not None:
            with self._reserved or reserve(self._port) as reserved:
                self._embedded = EmbeddedDatabase.start_on(reserved)
        if self._embedded is not None:
            self._embedded.wait()

    def __enter__(self) -> Engines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._reserved is not None:
            self._reserved.close()
        if self._embedded is not None:
            self._embedded.stop()

    def _any_port(self) -> int:
        self._reserved = reserve(0)
        port: int = self._reserved.getsockname()[1]
        return port
