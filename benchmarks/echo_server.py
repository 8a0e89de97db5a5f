"""A WebSocket server with nothing behind it, to see what the load client alone is capable of."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def _handle(connection: ServerConnection) -> None:
    async for message in connection:
        if isinstance(message, str) and "sendmessage" in message:
            broadcast(connection.server.connections, message)
        else:
            await connection.send(message)


async def _serve(port: int) -> None:
    async with serve(
        _handle, "127.0.0.1", port, compression=None, ping_interval=None, backlog=2048
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(_serve(int(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(0)
