"""``python -m wsclient``: the command line."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    try:
        from wsclient.commands import run
    except KeyboardInterrupt:  # importing takes a while
        sys.exit(130)
    sys.exit(run(sys.argv[1:], os.environ))
