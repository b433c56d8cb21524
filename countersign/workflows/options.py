"""Timeouts, retries, queues and search attributes, by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio.common import RetryPolicy, SearchAttributeKey

STAGE: Final = SearchAttributeKey.for_keyword("CountersignStage")
AREA: Final = SearchAttributeKey.for_keyword("CountersignArea")
REFERENCE: Final = SearchAttributeKey.for_keyword("CountersignReference")
WAITS_FOR: Final = SearchAttributeKey.for_keyword_list("CountersignWaitsFor")
SEARCH_ATTRIBUTES: Final[tuple[SearchAttributeKey[Any], ...]] = (REFERENCE, STAGE, AREA, WAITS_FOR)

RECORD: Final[dict[str, Any]] = {
    # A step is never given up: the record is what everything else is derived from. A database that is away for a
    # week delays an initiative for a week; nothing answered is lost, since answers follow the record.
    "start_to_close_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(minutes=10)
    ),
    # Beyond this the wait is a timer: retrying inside the workflow task would write three events every few seconds,
    # and a long outage would fill the history.
    "local_retry_threshold": timedelta(seconds=10),
}
LOOK_UP: Final = RECORD

LOG: Final[dict[str, Any]] = {
    # A first checkpoint takes in all that was ever recorded, some thousand entries at a time.
    "start_to_close_timeout": timedelta(minutes=10),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)),
}

SWEEP: Final[dict[str, Any]] = {
    # The first one archives all that ever ended; it is heard of with every run that it looks at.
    "start_to_close_timeout": timedelta(hours=6),
    "heartbeat_timeout": timedelta(minutes=2),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5)),
}

SIDE: Final[dict[str, Any]] = {
    # A side's own worker may be away for long; its payments wait for it.
    "start_to_close_timeout": timedelta(seconds=60),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5)),
}


def directorate_queue(directorate: str) -> str:
    """The task queue that only a directorate's own worker serves."""
    return f"directorate-{directorate}"
