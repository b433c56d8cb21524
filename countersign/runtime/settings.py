"""Every setting of a process, read from the environment (``COUNTERSIGN_…``) once, in an entry point."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from countersign.runtime import resources
from countersign.runtime.urls import is_confidential


class WebClient(BaseModel):
    """What an issuer knows this deployment as when it signs people in; without a secret it is a public client."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    client_id: str = Field(pattern=r"^[\x21-\x7e]{1,200}$")
    """The id that the issuer gave it."""

    client_secret: SecretStr | None = None
    """Its secret there, if it has one."""


_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[A-Za-z0-9._/-]*)?")


class Settings(BaseSettings):
    """The settings, with their documentation; lists and maps are written as JSON in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="COUNTERSIGN_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    database_url: str = Field(repr=False)
    """SQLAlchemy URL of the record, ``postgresql+asyncpg://user:password@host/countersign``; for a server on a socket
    ``postgresql+asyncpg://postgres@/countersign?host=/directory``. It may hold a password, so it has no default."""

    temporal_address: str = "127.0.0.1:7233"
    """Host and port of the Temporal frontend."""

    temporal_namespace: str = "countersign"
    """The Temporal namespace that all initiatives live in."""

    temporal_tls: bool = False
    """Whether the Temporal frontend is reached over TLS."""

    temporal_api_key: SecretStr | None = None
    """The API key for Temporal Cloud."""

    payload_keys: Path | None = None
    """A file with the keys that content is encrypted with in Temporal, a JWK Set whose first key is the current one;
    ``countersign payload-keys`` makes it. The API and every worker need it, and nobody else."""

    payload_plain: Literal["refuse", "accept"] = "refuse"
    """What becomes of content that is in plain text in Temporal: refused, unless it is from before it was encrypted and
    has to be read on."""

    codec_origins: list[str] = Field(default_factory=list)
    """The origins (``https://ui.example``) of Temporal web UIs whose readers may have payloads decoded here."""

    operators_issuer: str | None = None
    """The issuer of those who operate this deployment. They may have payloads decoded, and nothing else."""

    task_queue: str = "countersign"
    """The main task queue: initiatives, and every activity that is not a directorate's own."""

    agreement: Path = Field(default_factory=resources.default_agreement)
    """The programme agreement file."""

    issuers: dict[str, str] = Field(default_factory=dict)
    """Where an issuer that the agreement names is really served in this deployment, issuer URL to base URL.
    Tokens carry the agreement's URL; only discovery and keys are fetched from the other one."""

    audience: str = "countersign"
    """The audience that a token must name."""

    public_url: str | None = None
    """The origin at which browsers reach the API (``https://countersign.example``). Without it nobody signs in with a
    browser; without TLS it is one of this very machine."""

    web_clients: dict[str, WebClient] = Field(default_factory=dict)
    """The issuers by which people sign in with a browser, issuer URL to what it knows this deployment as."""

    session_idle_minutes: int = Field(default=30, ge=2, le=1440)
    """After how many minutes without a request a browser session ends."""

    session_hours: int = Field(default=12, ge=1, le=168)
    """After how many hours a browser session ends, whatever is done in it."""

    cli_client_id: str = "countersign-cli"
    """What the command line is registered as at the issuers: a public client with the device flow, or with the code
    flow and PKCE at a loopback address."""

    cli_client_ids: dict[str, str] = Field(default_factory=dict)
    """What it is registered as at an issuer that calls it something else, issuer URL to client id."""

    host: str = "127.0.0.1"
    """The address that the API listens on."""

    port: int = Field(default=8080, ge=0, le=65535)
    """The port that the API listens on."""

    requests_per_minute: int = Field(default=6000, ge=0)
    """How many requests a minute an API process takes of one person; 0 for any number."""

    unproven_per_minute: int = Field(default=120, ge=0)
    """How many requests a minute without a valid token it puts on record for one address; beyond it answers that there
    are too many. Behind a proxy, ``FORWARDED_ALLOW_IPS`` names it to uvicorn, or all come from its address. 0 for any
    number."""

    log_format: Literal["console", "json"] = "console"
    """Lines for people, or one JSON object a line for a log collector."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe level that is logged."""

    attachments: str | None = None
    """Where attachments are kept: a directory, or ``s3://bucket/prefix`` for an S3-compatible store. Without it
    documents are named by their hash, and kept by who made them."""

    attachments_absent: Literal["refuse", "accept"] = "refuse"
    """What becomes of a proposal or a report that names what its submitter has not uploaded, where attachments are
    kept: refused, or taken as it was before there were any. The API and the workers of initiatives take the same value
    of both."""

    attachments_endpoint: str | None = None
    """The URL of the S3-compatible store, unless it is Amazon's own."""

    attachments_region: str | None = None
    """Its region, where it has any."""

    attachments_key_id: str | None = None
    """The id of the access key; without one, credentials are looked for where Amazon's own tools do."""

    attachments_key: SecretStr | None = None
    """The secret of the access key."""

    attachment_mebibytes: int = Field(default=50, ge=1, le=1024)
    """How large one attachment may be."""

    loose_mebibytes: int = Field(default=500, ge=1)
    """How much an applicant may upload that no initiative of theirs names yet."""

    directorates: list[str] | None = None
    """Which directorates' own queues (``directorate-<id>``) this worker serves; unset serves all of them."""

    signing_keys: Path | None = None
    """A directory with the private Ed25519 key of each directorate that this worker serves,
    ``<directorate>.jwk.json``; only the side's own worker needs it."""

    checkpoints: Path | None = None
    """A directory in which each directorate that this worker serves has its own, ``<directorate>/``: the checkpoints of
    the log that the side has signed, for its audit office. The last of them is what it holds the next one against, so
    it belongs on the side's own machine; without it nothing is signed."""

    checkpoint_minutes: int = Field(default=60, ge=0)
    """How often a checkpoint of the log is made, by whoever carries the initiatives; 0 for on demand only."""

    archive_minutes: int = Field(default=10, ge=0)
    """How often the histories of runs that have ended are archived, by whoever carries the initiatives; with it, once a
    day it is looked for any that is missing. 0 for on demand only."""

    payment_outbox: Path | None = None
    """A directory in which each directorate that this worker serves has its own, ``<directorate>/``, with the files for
    its bank (``pain.001``). Unset, instructions are put on record and nothing else. With it, the worker needs the
    accounts of each side, ``<directorate>.accounts.toml``, next to its signing key."""

    bank: Literal["none", "answering"] = "none"
    """What there is without an outbox: no bank at all, for sides that pay by hand, or a stand-in that answers at once
    that everything is booked, as the embedded default has it. Never the latter with real money."""

    serve_initiatives: bool = True
    """Whether this worker serves the main task queue. A directorate's own worker does not."""

    workflow_cache: int = Field(default=500, ge=0)
    """How many initiatives a worker keeps in memory between their workflow tasks, at up to 0.5 MB each late in their
    lives. One that is not kept is replayed when its next message comes, in some 25 ms."""

    sandbox: bool = False
    """Whether workflow code runs in Temporal's sandbox, which stops what is not deterministic and takes a sixth of the
    worker's time. The tests run in it; a deployment runs what they have passed."""

    @field_validator("attachments")
    @classmethod
    def _is_a_place(cls, place: str | None) -> str | None:
        """A bucket is named, and nothing that a bucket's URL does not have; any other URL is none of ours."""
        if place is not None and "://" in place and not _BUCKET.fullmatch(place):
            raise ValueError("it is a directory, or s3://bucket/prefix")
        return place

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, given: str | None) -> str | None:
        """The origin, in the form in which browsers send it."""
        if given is None:
            return None
        parts = urlsplit(given)
        host = parts.hostname or ""
        if parts.scheme not in ("https", "http") or not host or not given.isascii() or "@" in parts.netloc:
            raise ValueError("it is a URL such as https://countersign.example")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("it is an origin: a URL without a path")
        if not is_confidential(given):
            raise ValueError("it begins with https, but on this very machine")
        usual = {"https": 443, "http": 80}[parts.scheme]
        port = "" if parts.port in (None, usual) else f":{parts.port}"
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        """What an issuer says to a client about who signed in must not pass for a token of the API's audience."""
        if any(one.client_id == self.audience for one in self.web_clients.values()):
            raise ValueError("the id of a web client is not the audience of access tokens")
        return self

    @property
    def attachments_required(self) -> bool:
        """Whether what is named has to be there."""
        return self.attachments is not None and self.attachments_absent == "refuse"
