"""Puts the figures of several runs together."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.load import Figures


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the program."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "memory_mib": pages // 1024**2,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def summary(runs: Sequence[Figures]) -> dict[str, Any]:
    """Return median, minimum and maximum of each figure."""
    return {name: _summary([run[name] for run in runs]) for name in runs[0]}


def _summary(values: Sequence[float | Figures]) -> dict[str, Any]:
    figures = [value for value in values if isinstance(value, dict)]
    if figures:
        return summary(figures)
    numbers = [value for value in values if isinstance(value, int | float)]
    several = {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}
    return {name: _rounded(value) for name, value in several.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value)
