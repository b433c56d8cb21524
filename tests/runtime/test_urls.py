"""Which addresses may be trusted with secrets."""

from __future__ import annotations

import pytest

from countersign.runtime.urls import is_confidential


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example",
        "https://id.example:8443/il",
        "HTTPS://id.example",
        "http://127.0.0.1:8081/il",
        "http://127.8.9.1",
        "http://[::1]:8081",
        "http://localhost:8081",
        "http://LOCALHOST",
    ],
)
def test_what_is_encrypted_or_stays_on_this_machine_is_confidential(url: str) -> None:
    assert is_confidential(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example",
        "https://somebody:secret@id.example",
        "http://0.0.0.0",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "https://",
        "//id.example",
        "id.example",
        "http://[::1",
        "",
    ],
)
def test_what_others_read_or_what_is_no_address_is_not_confidential(url: str) -> None:
    assert not is_confidential(url)
