"""The delivery path of this project."""

import json
import sys
import time

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.connections import Member
from chalicelib.exchanges import Limits
from chalicelib.management_api import APIGatewayManagementAPI

endpoint, posts, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
api = APIGatewayManagementAPI(
    SignedClient(
        endpoint,
        Signer("us-east-1", "execute-api"),
        lambda: Credentials("AKIDEXAMPLE", "secret", "token" * 100),
        time.time,
        limits=Limits(sockets=at_once),
    )
)


def run(number: int) -> None:
    members = [Member(f"L0SM9cOFvHcCI{place:06}=", "a", 0, 0) for place in range(number)]
    outcomes = [posted.outcome for posted in api.post_to_members(members, b"x" * 100, 600.0)]
    assert outcomes == ["delivered"] * number


run(posts // 10)
cpu, wall = time.process_time(), time.perf_counter()
run(posts)
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))
