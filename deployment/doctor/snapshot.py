"""What was found in an account, as plain data; no credential is ever in it.

None means that something was looked for and is not there. Whatever could not be looked at is
missing from its mapping, or is :data:`UNSEEN`, and is named in ``unseen``: a check that needs it
has nothing to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = Mapping[str, Any]


class Unseen:
    """The type of :data:`UNSEEN`."""


UNSEEN: Final = Unseen()


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A parameter or secret that a variable names; ``is_demonstration`` is None if not compared."""

    exists: bool
    encrypted: bool = True
    is_demonstration: bool | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """A role's policies: inline ones by name, and the ARNs of managed ones."""

    inline: Mapping[str, Json]
    attached: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table and whether items expire, by which attribute."""

    key_schema: Sequence[Json]
    expires_by: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """What the account allows; None where it could not be seen."""

    cloudwatch_role: str | Unseen | None = UNSEEN
    throttling_rate_limit: float | None = None
    throttling_burst_limit: int | None = None
    concurrency_limit: int | None = None
    concurrency_unreserved: int | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """What could not be looked at, for which check, and the permission it takes."""

    check: str
    what: str
    permission: str


@dataclass(slots=True)
class Snapshot:
    """One stage, as it is deployed. Functions and roles go by the names of Chalice's resources."""

    names: Mapping[str, str] = field(default_factory=dict)
    """ApiId (where there is an API), Partition, Region, AccountId."""
    apis: Sequence[Json] | None = None
    """Those with the name of this stage's API."""
    recorded_api_id: str | None = None
    api: Json | None = None
    authorizers: Sequence[Json] | None = None
    routes: Sequence[Json] | None = None
    integrations: Sequence[Json] | None = None
    stages: Sequence[Json] | None = None
    deployment: Json | None = None
    rest_api_id: str | None = None
    http_stage_variables: Json | Unseen | None = UNSEEN
    """None where the HTTP API has no such stage."""
    functions: dict[str, Json | None] = field(default_factory=dict)
    concurrency: dict[str, int | None] = field(default_factory=dict)
    """What functions have reserved, of those that shall have something."""
    permissions: dict[str, Sequence[Json]] = field(default_factory=dict)
    roles: dict[str, Role | None] = field(default_factory=dict)
    tables: dict[str, Table | None] = field(default_factory=dict)
    queues: dict[str, bool] = field(default_factory=dict)
    log_groups: dict[str, int | None] = field(default_factory=dict)
    """Days of retention, 0 for ever, None for no such group."""
    secrets: dict[str, StoredSecret] = field(default_factory=dict)
    alarms: set[str] | None = None
    dashboards: set[str] | None = None
    metric_filters: dict[str, str] | None = None
    """Patterns by what a deployment records: log group, colon, name."""
    account: Account = field(default_factory=Account)
    unseen: list[Denied] = field(default_factory=list)
