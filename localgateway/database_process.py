"""Runs MiniStack, and ends with whoever started it.

The parent holds the other end of standard input. When the parent goes, even by SIGKILL, reading
ends and so does this process: no engine is left behind on the port.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)  # the parent made it for this process
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from ministack.app import main

    main()
