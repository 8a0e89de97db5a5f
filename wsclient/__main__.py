"""``python -m wsclient``: the command line."""

from __future__ import annotations

import os
import sys

from wsclient.commands import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], os.environ))
