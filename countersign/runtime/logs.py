"""Logging: one set-up for our own keyed lines and for those of the libraries, with secrets masked."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_MASK = "***"
_SECRET_KEY = re.compile(
    r"(^|[_-])(token|authorization|password|passwd|secret|api[_-]?key|private[_-]?key|cookie"
    r"|csrf|nonce|code[_-]verifier|(authorization|device)[_-]code|id[_-]token[_-]hint)s?$",
    re.IGNORECASE,
)
# Whoever sends a path of sixty thousand characters has it logged: none of these looks at a character again and again.
_LINK = re.compile(r"(/v1/downloads/)[^\s?#\"]+")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_SECRETS = (
    r"nonce|code_verifier|device_code|client_secret|password|csrf_token|id_token_hint|(?:[a-z]+_)?token"
)
_IN_TEXT = (
    # In addresses and forms.
    re.compile(rf"((?:(?:^|[?&])(?:code|state)|\b(?:{_SECRETS}))=)[^&\s\"'#]+", re.IGNORECASE),
    # In answers. A code by itself is that of a refusal there, as it is in our own lines.
    re.compile(rf"""(["'](?:{_SECRETS})["']\s*:\s*["'])[^"']+""", re.IGNORECASE),
    # In headers, and cookies of ours wherever they are named.
    re.compile(r"(\b(?:set-)?cookie(?:[\"']\s*,|[\"']?\s*[:=])\s*[\"']?)[^\r\n\"']+", re.IGNORECASE),
    re.compile(r"(\bcountersign[\w-]{0,32}=)[^\s;,\"']+"),
    # Signed tokens, whole or cut off, whatever stands before them.
    re.compile(r"()\beyJ[\w-]{8,}+(?:\.[\w-]*){0,2}"),
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]{0,31}://[^\s:/@]*):[^\s/@]+@", re.IGNORECASE)


def configure(log_format: Literal["console", "json"] = "console", level: str = "INFO") -> None:
    """Send every log line of this process to standard error, in one format; calling it again replaces the set-up."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[Processor]
    if log_format == "json":
        render = [structlog.processors.format_exc_info, mask_secrets, structlog.processors.JSONRenderer()]
    else:
        render = [
            structlog.processors.format_exc_info,
            mask_secrets,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _drop_duplicates,
                *render,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # There is such a line for every request, and it has one form: the processors would cost more than the request's
    # own reading of the record.
    access = logging.StreamHandler(sys.stderr)
    access.setFormatter(_AccessFormatter(log_format))
    logging.getLogger("uvicorn.access").addHandler(access)
    logging.getLogger("uvicorn.access").propagate = False
    # These tell every step they take at INFO; what matters of it we log ourselves.
    for name in ("httpx", "httpcore", "asyncio", "alembic.runtime.plugins"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class _AccessFormatter(logging.Formatter):
    """Uvicorn's line for a request, in the form of all others."""

    def __init__(self, log_format: Literal["console", "json"]) -> None:
        super().__init__()
        self._json = log_format == "json"

    def format(self, record: logging.LogRecord) -> str:
        client, method, path, version, status = cast("tuple[object, ...]", record.args)
        event = _masked("", f'{client} - "{method} {path} HTTP/{version}" {status}')
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if self._json:
            line = {"event": event, "level": "info", "logger": record.name, "timestamp": at}
            return json.dumps(line)
        return f"{at} [info     ] {event} [{record.name}]"


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what must not reach a log: values under secret-sounding keys; tokens, passwords, cookies in any text."""
    return {key: _masked(key, value) for key, value in event.items()}


def without_links(text: str) -> str:
    """A text, such as a path, without the links by which whoever reads it could download."""
    return _LINK.sub(rf"\1{_MASK}", text)


def _masked(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, bool | int | float):
        return _MASK
    if isinstance(value, str):
        return _masked_text(value)
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", one) for one in value]
    return value


def _masked_text(text: str) -> str:
    text = _URL_PASSWORD.sub(rf"\1:{_MASK}@", _BEARER.sub(rf"\1 {_MASK}", text))
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\1{_MASK}", text)
    return without_links(text)


def _drop_duplicates(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Uvicorn repeats its message with colour codes in it."""
    event.pop("color_message", None)
    return event
