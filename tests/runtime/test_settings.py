"""The settings of browser sessions: what would not be safe is said at the start."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from countersign.runtime.settings import Settings

IL = "https://id.il.countersign.example"


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://countersign.example", "https://countersign.example"),
        ("https://Countersign.EXAMPLE:443/", "https://countersign.example"),
        ("https://countersign.example:8443", "https://countersign.example:8443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_where_browsers_reach_the_api_is_an_origin_as_they_write_it(given: str, origin: str) -> None:
    assert Settings(database_url="", public_url=given).public_url == origin


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("http://countersign.example", "begins with https"),
        ("http://127.0.0.1.evil.example", "begins with https"),
        ("http://10.0.0.1", "begins with https"),
        ("https://countersign.example/portal", "without a path"),
        ("https://countersign.example?a=b", "without a path"),
        ("https://countersign.example#a", "without a path"),
        ("https://somebody:else@countersign.example", "a URL such as"),
        ("https://", "a URL such as"),
        ("https://countersign.exämple", "a URL such as"),
        ("countersign.example", "a URL such as"),
        ("ftp://countersign.example", "a URL such as"),
        ("https://countersign.example:x", "public_url"),
        ("", "a URL such as"),
    ],
)
def test_what_is_no_origin_or_not_safe_is_refused(given: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Settings(database_url="", public_url=given)


def test_what_issuers_say_to_a_client_never_passes_for_a_token_of_the_apis() -> None:
    with pytest.raises(ValidationError, match="not the audience"):
        Settings.model_validate({"database_url": "", "web_clients": {IL: {"client_id": "countersign"}}})


def test_clients_come_from_the_environment_and_their_secrets_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clients = {IL: {"client_id": "countersign-web", "client_secret": "s3cr3t"}}
    monkeypatch.setenv("COUNTERSIGN_WEB_CLIENTS", json.dumps(clients))
    read = Settings(database_url="")
    secret = read.web_clients[IL].client_secret
    assert secret is not None
    assert secret.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in repr(read) + str(read) + read.model_dump_json()


@pytest.mark.parametrize("client", [{}, {"client_id": ""}, {"client_id": "a b"}, {"client_id": "a", "x": 1}])
def test_a_client_that_is_none_is_refused(client: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"database_url": "", "web_clients": {IL: client}})
