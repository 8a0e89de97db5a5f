"""Metrics as CloudWatch reads them from a log: one line of JSON in its embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

NAMESPACE = "Portcullis"


@dataclass(frozen=True, slots=True)
class DeliveryMetrics:
    """Writes what came of deliveries; ``now`` is in seconds since the epoch."""

    stage: str
    now: Callable[[], float]
    write: Callable[[str], object]

    def __call__(self, kind: str, counts: Mapping[str, int], seconds: float, size: int) -> None:
        """Write one line; ``kind`` is ``broadcast`` or ``job``."""
        values: dict[str, tuple[float, str]] = {
            name.capitalize(): (number, "Count") for name, number in counts.items()
        }
        values["Duration"] = (round(seconds * 1000, 3), "Milliseconds")
        values["PayloadBytes"] = (size, "Bytes")
        self.write(embedded({"Stage": self.stage}, {"Kind": kind}, values, self.now()))


def embedded(
    dimensions: Mapping[str, str],
    properties: Mapping[str, str],
    values: Mapping[str, tuple[float, str]],
    now: float,
) -> str:
    """Return the line for some values, each with its unit; ``now`` in seconds since the epoch.

    Properties can be searched for in the log; only dimensions make metrics of their own.
    """
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
    }
    document: dict[str, object] = {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]},
        **dimensions,
        **properties,
        **{name: value for name, (value, _) in values.items()},
    }
    return json.dumps(document, separators=(",", ":"))
