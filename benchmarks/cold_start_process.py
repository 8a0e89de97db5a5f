"""A cold start: imports a handler of an unpacked package, and has it answer once.

Imports nothing first that the handler might need, or its cost would not be seen.
"""

import sys
import time


class Context:
    """Lambda's, as far as a handler asks it."""

    def get_remaining_time_in_millis(self) -> int:
        return 28_000


def main(package: str, handler: str, site_packages: str, event: str) -> None:
    """Print CPU times in ms, and how many modules of boto3 were loaded, as JSON."""
    sys.path[:0] = [package]
    sys.path.append(site_packages)  # boto3 is part of Lambda's runtime
    loaded = len(sys.modules)
    started = time.process_time()
    import app  # noqa: PLC0415

    imported = time.process_time()
    import json  # noqa: PLC0415

    decoded = json.loads(event)
    asked = time.process_time()
    answer = getattr(app, handler)(decoded, Context())
    answered = time.process_time()
    expected = {"websocket_authorizer": '"Effect": "Allow"', "websocket_message": "200"}
    if expected[handler] not in json.dumps(answer):
        sys.exit(f"not let in, or not answered: {answer}")
    aws = [name for name in sys.modules if name.partition(".")[0] in {"boto3", "botocore"}]
    figures = {
        "import_cpu_ms": (imported - started) * 1000,
        "first_answer_cpu_ms": (answered - asked) * 1000,
        "cpu_ms": (imported - started + answered - asked) * 1000,
        "modules": len(sys.modules) - loaded,
        "boto3_modules": len(aws),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
