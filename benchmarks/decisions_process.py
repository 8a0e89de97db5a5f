"""Has the authorizer decide on one token again and again, and says what that costs."""

import json
import sys
import time

DECISIONS = 2000


def main(project: str, event: str) -> None:
    """Print the CPU time of one decision, in ms, as JSON."""
    sys.path.insert(0, project)
    import app  # noqa: PLC0415

    decoded = json.loads(event)
    answer = app.websocket_authorizer(decoded, None)
    if answer["policyDocument"]["Statement"][0]["Effect"] != "Allow":
        sys.exit(f"not let in: {answer}")
    started = time.process_time()
    for _ in range(DECISIONS):
        app.websocket_authorizer(decoded, None)
    print(json.dumps({"cpu_ms": (time.process_time() - started) * 1000 / DECISIONS}))


if __name__ == "__main__":
    main(*sys.argv[1:])
