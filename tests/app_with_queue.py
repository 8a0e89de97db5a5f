"""The app as it is imported where a queue is named: it then has one function more."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

_APP = Path(__file__).parents[1] / "app.py"


@contextmanager
def app_with_queue(name: str) -> Iterator[ModuleType]:
    """Yield a second copy of the module ``app``, whose queue has this name."""
    spec = importlib.util.spec_from_file_location("app_with_queue", _APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUEUE_NAME", name)
        patch.setitem(sys.modules, "app_with_queue", module)
        spec.loader.exec_module(module)
        yield module
