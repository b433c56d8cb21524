"""The Temporal client, and the namespace that initiatives live in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    PayloadCodec,
)
from temporalio.service import RPCError, RPCStatusCode

from countersign.runtime.payload_codec import UNENCRYPTED, KeylessCodec, PayloadRefused, configured
from countersign.runtime.settings import Settings
from countersign.workflows.archive import ARCHIVE, COMPLETE, ArchiveWorkflow
from countersign.workflows.checkpoints import CHECKPOINTS, CheckpointWorkflow
from countersign.workflows.messages import Unencrypted
from countersign.workflows.options import SEARCH_ATTRIBUTES

RETENTION: Final = timedelta(days=365)
"""How long Temporal keeps the history of an ended run. We archive it at once; this is for looking things up."""

_SEARCH_ATTRIBUTES: Final = {one.name: one.indexed_value_type for one in SEARCH_ATTRIBUTES}


class _Refusing(EncodingPayloadConverter):
    """Makes no value of what came in plain text.

    Whoever takes whatever comes, without a type, is given :class:`Unencrypted`. That is how a workflow takes a signal:
    to raise there would have the SDK drop it, and it has to be on record as refused.
    """

    @property
    def encoding(self) -> str:
        return UNENCRYPTED.decode()

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        if type_hint is None:
            return Unencrypted()
        raise PayloadRefused("payload_plain")


_CONVERTERS: Final = (*PydanticPayloadConverter().converters.values(), _Refusing())


class _Shared(CompositePayloadConverter):
    """Pydantic's converters, made once: the SDK makes a payload converter anew for every activity."""

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


def data_converter(codec: PayloadCodec | None) -> DataConverter:
    """How values become payloads. The codec encrypts them, and the messages and stack traces of failures with them.

    Without one they stay as they are: for histories that are kept decrypted.
    """
    return DataConverter(
        payload_converter_class=_Shared,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


KEYLESS: Final = data_converter(KeylessCodec())
"""For clients that neither send nor read content."""


async def connect(settings: Settings, *, converter: DataConverter | None = None, lazy: bool = True) -> Client:
    """A client of the configured namespace, with the keys that the settings name unless a converter is given.

    Lazy, it connects at the first call: a process starts and says that it is not ready while Temporal is down.

    Raises:
        KeyRingFault: the settings name no keys.
        RuntimeError: not lazy, and Temporal cannot be reached.
    """
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=converter or data_converter(configured(settings)),
        tls=settings.temporal_tls,
        api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None,
        lazy=lazy,
    )


async def schedule_audit(client: Client, task_queue: str, *, checkpoints: int, archive: int) -> None:
    """Have checkpoints of the log made and histories archived, each every so many minutes; none does away with it.

    Done again, it changes nothing. What is missing in the archive is looked for once a day.

    Raises:
        RPCError: Temporal refused, or did not answer.
    """
    # One that waits for a side's worker, or has much to do, takes in what the next would have.
    check = ScheduleActionStartWorkflow(CheckpointWorkflow.run, id=CHECKPOINTS, task_queue=task_queue)
    await _schedule(client, CHECKPOINTS, check, timedelta(minutes=checkpoints))
    sweep = ScheduleActionStartWorkflow(ArchiveWorkflow.run, False, id=ARCHIVE, task_queue=task_queue)
    await _schedule(client, ARCHIVE, sweep, timedelta(minutes=archive))
    complete = ScheduleActionStartWorkflow(ArchiveWorkflow.run, True, id=COMPLETE, task_queue=task_queue)
    await _schedule(client, COMPLETE, complete, timedelta(days=1 if archive else 0))


async def _schedule(client: Client, name: str, action: ScheduleActionStartWorkflow, every: timedelta) -> None:
    handle = client.get_schedule_handle(name)
    if not every:
        with suppress(RPCError):
            await handle.delete()
        return
    wanted = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(name, wanted)
    except ScheduleAlreadyRunningError:
        await handle.update(lambda _: ScheduleUpdate(wanted))


async def prepare_namespace(client: Client, retention: timedelta = RETENTION) -> None:
    """Register the client's namespace or set its retention, and add the search attributes that it lacks.

    Done again, it changes nothing.

    Raises:
        RPCError: Temporal refused; or it did not answer within 30 seconds.
    """
    await _set_retention(client, retention)
    await _add_search_attributes(client)


async def _set_retention(client: Client, retention: timedelta) -> None:
    period = Duration()
    period.FromTimedelta(retention)
    service = client.workflow_service
    try:
        found = await service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), retry=True
        )
    except RPCError as problem:
        if problem.status is not RPCStatusCode.NOT_FOUND:
            raise
        await _ignoring_existing_namespace(client, period)
        return
    if found.config.workflow_execution_retention_ttl != period:
        await service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace,
                config=NamespaceConfig(workflow_execution_retention_ttl=period),
            ),
            retry=True,
        )


async def _ignoring_existing_namespace(client: Client, period: Duration) -> None:
    """Register the namespace; somebody else may do so at the same moment."""
    try:
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=period)
        )
    except RPCError as problem:
        if problem.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


async def _add_search_attributes(client: Client) -> None:
    # A namespace that was registered a moment ago is not known to every part of the cluster at once.
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            known = await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace=client.namespace)
            )
            missing = {
                name: IndexedValueType.ValueType(int(kind))
                for name, kind in _SEARCH_ATTRIBUTES.items()
                if name not in known.custom_attributes
            }
            if missing:
                await client.operator_service.add_search_attributes(
                    AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
                )
        except RPCError as problem:
            if problem.status is RPCStatusCode.ALREADY_EXISTS:
                return
            if problem.status is not RPCStatusCode.NOT_FOUND or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            return
