"""Jobs in the one DynamoDB table; all of a job is gone a day after its deadline.

* job: pk ``job#<id>``, sk ``job``; with audience, apiId, stage, deadline
* payload: pk ``job#<id>``, sk ``payload``; with data
* slice: pk ``job#<id>``, sk ``slice#<shard>``; with afterId, reachId, counts, and, once it has
  been claimed, workerId, leasedUntil (ms), at last doneAt
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.broadcast import Outcome
from chalicelib.connections import Audience
from chalicelib.dynamodb import DynamoDB, Item
from chalicelib.errors import ConditionFailed, JobBusy
from chalicelib.jobs import Job, JobReport, Progress, Task
from chalicelib.reading import Place

_KEPT_SECONDS = 86_400
_COUNTS = (*(outcome.value for outcome in Outcome), "repeated")


class DynamoDBJobStore:
    """The JobStore that ships. All reads are strongly consistent; every write may be repeated."""

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def create(self, job: Job, payload: bytes, places: Sequence[Place]) -> None:
        """Write everything before anybody is told of it."""
        items = [
            _item(
                job,
                "job",
                audience={"S": str(job.audience)},
                apiId={"S": job.api_id},
                stage={"S": job.stage},
                deadline={"N": str(job.deadline)},
            ),
            _item(job, "payload", data={"B": base64.b64encode(payload).decode()}),
            *(
                _item(job, _slice_sk(shard), **_noted(Progress(start, start)))
                for shard, start in places
            ),
        ]
        self._dynamodb.write(self._table, [{"PutRequest": {"Item": item}} for item in items])

    def payload(self, job_id: str) -> bytes | None:
        """Return what a job sends."""
        item = self._get(job_id, "payload")
        return base64.b64decode(item["data"]["B"]) if item else None

    def claim(self, task: Task, worker: str, now: float, until: float) -> Progress | None:
        """Take the lease of a slice, if it is free, expired, or one's own."""
        try:
            item = self._update(
                task,
                "SET workerId = :worker, leasedUntil = :until",
                "attribute_exists(pk) AND attribute_not_exists(doneAt) AND "
                "(attribute_not_exists(leasedUntil) OR leasedUntil <= :now OR workerId = :worker)",
                {
                    ":worker": {"S": worker},
                    ":until": {"N": str(int(until * 1000))},
                    ":now": {"N": str(int(now * 1000))},
                },
            )
        except ConditionFailed:
            left = self._get(task.job.job_id, _slice_sk(task.shard))
            if left is None or "doneAt" in left:
                return None
            raise JobBusy(f"job {task.job.job_id}, shard {task.shard}") from None
        return _progress(item)

    def note(
        self,
        task: Task,
        worker: str,
        progress: Progress,
        *,
        is_released: bool = False,
        is_done: bool = False,
    ) -> None:
        """Write the whole of what is known: written twice it says the same."""
        noted = _noted(progress)
        changes = [f"{name} = :{name}" for name in noted]
        values: dict[str, Any] = {f":{name}": value for name, value in noted.items()}
        if is_released:
            changes.append("leasedUntil = :never")
            values[":never"] = {"N": "0"}
        if is_done:
            changes.append("doneAt = :deadline")
            values[":deadline"] = {"N": str(task.job.deadline)}
        values[":worker"] = {"S": worker}
        try:
            self._update(task, f"SET {', '.join(changes)}", "workerId = :worker", values)
        except ConditionFailed:
            raise JobBusy(f"job {task.job.job_id}, shard {task.shard}: lost") from None

    def report(self, job_id: str) -> JobReport | None:
        """Return the job with the sum of its slices."""
        item = self._get(job_id, "job")
        if item is None:
            return None
        slices = self._slices(job_id)
        counts: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
        for each in slices:
            counts.update(_progress(each).counts)
        counts["targeted"] = sum(counts[outcome.value] for outcome in Outcome)
        job = Job(
            job_id,
            Audience.parse(item["audience"]["S"]),
            item["apiId"]["S"],
            item["stage"]["S"],
            int(item["deadline"]["N"]),
        )
        return JobReport(job, counts, all("doneAt" in each for each in slices))

    def _slices(self, job_id: str) -> list[Item]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": {
                ":pk": {"S": f"job#{job_id}"},
                ":sk": {"S": _SLICE_PREFIX},
            },
            "ConsistentRead": True,
        }
        answer = self._dynamodb.call("Query", query)  # 256 slices at most: one page
        return list(answer.get("Items", ()))

    def _get(self, job_id: str, sk: str) -> Item | None:
        query = {"TableName": self._table, "Key": _key(job_id, sk), "ConsistentRead": True}
        item: Item | None = self._dynamodb.call("GetItem", query).get("Item")
        return item

    def _update(self, task: Task, update: str, condition: str, values: Mapping[str, Any]) -> Item:
        answer = self._dynamodb.call(
            "UpdateItem",
            {
                "TableName": self._table,
                "Key": _key(task.job.job_id, _slice_sk(task.shard)),
                "UpdateExpression": update,
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
                "ReturnValues": "ALL_NEW",
            },
        )
        item: Item = answer["Attributes"]
        return item


_SLICE_PREFIX = "slice#"


def _slice_sk(shard: int) -> str:
    return f"{_SLICE_PREFIX}{shard}"


def _key(job_id: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": f"job#{job_id}"}, "sk": {"S": sk}}


def _item(job: Job, sk: str, **attributes: Any) -> Item:
    expires_at = {"N": str(job.deadline + _KEPT_SECONDS)}
    return {**_key(job.job_id, sk), **attributes, "expiresAt": expires_at}


def _noted(progress: Progress) -> dict[str, Any]:
    counts = {name: {"N": str(progress.counts.get(name, 0))} for name in _COUNTS}
    return {
        "afterId": {"S": progress.after or ""},
        "reachId": {"S": progress.reach or ""},
        "counts": {"M": counts},
    }


def _progress(item: Item) -> Progress:
    counts = {name: int(value["N"]) for name, value in item["counts"]["M"].items()}
    return Progress(item["afterId"]["S"] or None, item["reachId"]["S"] or None, counts)
