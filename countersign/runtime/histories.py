"""Workflow histories decrypted, for people and for the replayer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from countersign.runtime.payload_codec import EncryptingCodec, PayloadRefused, is_encrypted


def opened(history: WorkflowHistory, codec: EncryptingCodec) -> WorkflowHistory:
    """A copy of a history in which every encrypted payload is as it was.

    What is in plain text stays so: Temporal and its SDK keep a few payloads of their own in a history (the book-keeping
    of markers, search attributes).

    Raises:
        PayloadRefused: a payload does not open; the detail names the run and the event.
    """
    events = []
    for event in history.events:
        copied = HistoryEvent()
        copied.CopyFrom(event)
        for payload in payloads(copied):
            if is_encrypted(payload):
                try:
                    payload.CopyFrom(codec.open(payload))
                except PayloadRefused as problem:
                    place = f"run {history.run_id}, event {event.event_id}"
                    raise PayloadRefused(problem.code, f"{place}: {problem.detail}") from problem
        events.append(copied)
    return WorkflowHistory(history.workflow_id, events)


def payloads(message: Message) -> Iterator[Payload]:
    """Every payload in a message of Temporal's, but for search attributes, which are never encoded."""
    if isinstance(message, Payload):
        yield message
    elif not isinstance(message, SearchAttributes):
        for field, value in message.ListFields():
            if field.message_type is not None:
                for one in _messages(value):
                    yield from payloads(one)


def _messages(value: Any) -> Iterator[Message]:
    """The messages in the value of a field: one, a list, or a map to some."""
    if isinstance(value, Message):
        yield value
        return
    for one in value.values() if hasattr(value, "values") else value:
        if isinstance(one, Message):
            yield one
