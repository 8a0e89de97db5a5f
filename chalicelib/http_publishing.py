"""``POST /messages``: what servers send to audiences, one message at a time or several."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.actions import FrameId, SendMessage, only_fields, parse_id, required_text
from chalicelib.authorizers import Principal
from chalicelib.connections import Audience
from chalicelib.errors import ClientError, Forbidden, PayloadTooLarge, ServiceUnavailable
from chalicelib.frames import Fields
from chalicelib.http_answers import Answer, answer_to
from chalicelib.http_requests import Call, audience, not_found
from chalicelib.idempotency import HEADER, Attempt, IdempotencyStore, fingerprint, once, parse_key
from chalicelib.jobs import JobStore
from chalicelib.messages import Broadcast, Policies, message_frame, time_ordered_id

MAX_BODY_BYTES = 262_144
MAX_BATCH_BYTES = 1_048_576
MAX_BATCH = 25
# Less is not enough to reach anybody.
MIN_SECONDS = 0.5
_FIELDS = ("to", "message", "id")
_MAX_JOB_ID = 64


@dataclass(frozen=True, slots=True)
class Publisher:
    """Sends for one principal, who has the scope; ``now`` is in seconds since the epoch.

    ``policies`` must allow each audience too, where there are any. ``broadcast`` makes what sends
    within so many seconds; ``random_bits(n)`` returns an n-bit number, ``clock`` seconds of no
    particular time.
    """

    principal: Principal
    policies: Policies | None
    broadcast: Callable[[float], Broadcast]
    answers: IdempotencyStore
    now: Callable[[], float]
    random_bits: Callable[[int], int]
    clock: Callable[[], float] = time.monotonic

    def post(self, call: Call) -> Answer:
        """Send one message: 200 with what came of it, 202 where a job goes on.

        Raises Forbidden for an audience that policies keep this principal from.
        """
        call.only_parameters(())
        fields = call.json_object(MAX_BODY_BYTES)
        frame_id, command = _command(fields)
        self._check(command.to)

        def send() -> Answer:
            told = self._send(command, frame_id, call.seconds)
            return Answer(202 if "jobId" in told else 200, told)

        return self._once(call, send)

    def post_batch(self, call: Call) -> Answer:
        """Send up to 25 messages one after the other, with a result for each in its place."""
        call.only_parameters(())
        messages = _messages(call.json_object(MAX_BATCH_BYTES))
        end = self.clock() + call.seconds

        def send() -> Answer:
            return Answer(200, {"results": [self._result(each, end) for each in messages]})

        return self._once(call, send)

    def _check(self, to: Audience) -> None:
        name, scopes = self.principal.principal_id, self.principal.scopes
        if self.policies is not None and not self.policies.allow(name, "publish", to, scopes):
            raise Forbidden("forbidden_audience", name)

    def _once(self, call: Call, operation: Callable[[], Answer]) -> Answer:
        header = call.headers.get(HEADER)
        if header is None:
            return operation()
        attempt = Attempt(
            self.principal.principal_id,
            parse_key(header),
            fingerprint(call.route, call.body),
            owner=f"{self.random_bits(64):016x}",
        )
        return once(self.answers, attempt, self.now(), operation)

    def _result(self, message: object, end: float) -> Mapping[str, Any]:
        frame_id: FrameId = None
        try:
            if not isinstance(message, dict):
                raise ClientError("not_an_object", "A message must be a JSON object.")
            frame_id = parse_id(message)
            frame_id, command = _command(message)
            self._check(command.to)
            seconds = end - self.clock()
            if seconds < MIN_SECONDS:
                raise ClientError("out_of_time", "This message was not sent: send it again.")
            return self._send(command, frame_id, seconds)
        except (ClientError, Forbidden, ServiceUnavailable) as problem:
            return {**_echo(frame_id), **answer_to(problem).body}

    def _send(self, command: SendMessage, frame_id: FrameId, seconds: float) -> dict[str, Any]:
        now = self.now()
        message_id = time_ordered_id(now, self.random_bits)
        frame = message_frame(self.principal.principal_id, command, message_id, now)
        try:
            outcome = self.broadcast(seconds)(command.to, frame, message_id)
        except PayloadTooLarge:
            raise ClientError("message_too_long", "The message is over 128 KiB.") from None
        return {**_echo(frame_id), "messageId": message_id, **outcome}


def get_job(store: JobStore | None, call: Call) -> Answer:
    """Return what has come so far of a message that a job delivers; None is a stage without."""
    call.only_parameters(())
    job_id = call.parameter("job_id")
    report = None
    if store is not None and 0 < len(job_id) <= _MAX_JOB_ID:
        report = store.report(job_id)
    if report is None:
        raise not_found("There is no such job, or no longer.")
    return Answer(
        200,
        {
            "jobId": report.job.job_id,
            "to": str(report.job.audience),
            "deadline": report.job.deadline,
            "done": report.is_done,
            "delivery": dict(report.counts),
        },
        {"Cache-Control": "no-store"},
    )


def _messages(fields: Fields) -> Sequence[object]:
    only_fields(fields, ("messages",))
    messages = fields.get("messages")
    if not isinstance(messages, list) or not 0 < len(messages) <= MAX_BATCH:
        code = "invalid_field" if "messages" in fields else "missing_field"
        raise ClientError(code, f"messages must be a list of 1 to {MAX_BATCH} messages.")
    return messages


def _command(fields: Fields) -> tuple[FrameId, SendMessage]:
    only_fields(fields, _FIELDS)
    frame_id = parse_id(fields)
    message = required_text(fields, "message")
    return frame_id, SendMessage(message, audience(required_text(fields, "to")))


def _echo(frame_id: FrameId) -> dict[str, FrameId]:
    return {} if frame_id is None else {"id": frame_id}
