"""aiobotocore: botocore on asyncio and aiohttp."""

import asyncio
import json
import sys
import time

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

endpoint, posts, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def main() -> None:
    async with get_session().create_client(
        "apigatewaymanagementapi",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        aws_session_token="token" * 100,
        config=AioConfig(max_pool_connections=at_once, retries={"total_max_attempts": 1}),
    ) as client:

        async def run(number: int) -> None:
            left = iter(range(number))

            async def work() -> None:
                for place in left:
                    await client.post_to_connection(
                        ConnectionId=f"L0SM9cOFvHcCI{place:06}=", Data=b"x" * 100
                    )

            await asyncio.gather(*(work() for _ in range(at_once)))

        await run(posts // 10)
        cpu, wall = time.process_time(), time.perf_counter()
        await run(posts)
        print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


asyncio.run(main())
