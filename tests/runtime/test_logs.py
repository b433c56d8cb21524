"""What never reaches a log, whoever writes the line."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from countersign.runtime.logs import mask_secrets

HIDDEN = "s3cr3t-0f-s0meb0dy"


@pytest.mark.parametrize(
    "key",
    [
        *(
            "token",
            "access_token",
            "refresh_token",
            "id_token",
            "logout_token",
            "id_token_hint",
            "device_code",
        ),
        *("csrf", "csrf_token", "X-CSRF-Token", "cookie", "Set-Cookie", "authorization", "client_secret"),
        *("password", "nonce", "code_verifier", "authorization_code", "api_key", "private_key", "tokens"),
    ],
)
def test_what_stands_under_a_key_that_sounds_like_a_secret_is_masked_however_deep(key: str) -> None:
    line = {"event": "x", key: HIDDEN, "inner": [{"headers": {key: [HIDDEN]}}, {key: HIDDEN}]}
    assert HIDDEN not in str(mask_secrets(None, "info", line))


@pytest.mark.parametrize(
    "text",
    [
        f"GET /v1/session/callback?code={HIDDEN}&state={HIDDEN}&iss=https%3A%2F%2Fid.example HTTP/1.1",
        f"GET /v1/session/callback?iss=x&state={HIDDEN}&code={HIDDEN}",
        f"https://id.example/end?client_id=web&id_token_hint={HIDDEN}#x",
        f"code={HIDDEN}&code_verifier={HIDDEN}",
        f"refresh_token={HIDDEN}&token={HIDDEN}&client_secret={HIDDEN}",
        f"logout_token={HIDDEN}",
        f'{{"access_token": "{HIDDEN}", "refresh_token":"{HIDDEN}", "id_token" : "{HIDDEN}"}}',
        f"{{'csrf_token': '{HIDDEN}'}}",
        f"Cookie: a=1; __Host-countersign={HIDDEN}; b={HIDDEN}",
        f"set-cookie: countersign={HIDDEN}; Path=/",
        f"('cookie', 'a={HIDDEN}')",
        f"sent countersign-sign-in={HIDDEN} along",
        f"sent __Host-countersign={HIDDEN}, and countersign_codec={HIDDEN}",
        f"Authorization: Bearer {HIDDEN}",
        f"postgresql+asyncpg://api:{HIDDEN}@host/countersign",
    ],
)
def test_what_is_secret_in_a_text_is_masked_wherever_it_stands(text: str) -> None:
    (masked,) = mask_secrets(None, "info", {"event": text}).values()
    assert HIDDEN not in masked
    assert "***" in masked


def test_a_signed_token_is_masked_whatever_it_is_called() -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJpbC1oZWFkIn0.c2lnbmF0dXJl"
    masked = mask_secrets(None, "info", {"event": f"got {token} from it", "odd": [token]})
    assert masked == {"event": "got *** from it", "odd": ["***"]}
    cut_off = mask_secrets(None, "info", {"event": f"got {token[:20]}"})
    assert cut_off == {"event": "got ***"}


def test_what_tells_an_operator_something_stays() -> None:
    line = {
        "event": "request_refused",
        "code": "invalid",
        "status": 400,
        "state": "submitted",
        "person": "il/il-head",
        "path": "/v1/initiatives?stage=active&cursor=abc",
        "url": "postgresql://host/countersign?host=/run",
        "tokens": 3,
        "detail": "a cookie, or a token, counts only where it comes from; say which state: it is for Tokens",
        "problem": '{"code": "invalid", "detail": "the token is not valid: ExpiredTokenError"}',
    }
    assert mask_secrets(None, "info", dict(line)) == line


@pytest.mark.parametrize(
    "piece", ["eyJ-", "countersign-", "a.", "a-token-", "x://a:", "cookie ", "?code", "Bearer "]
)
def test_a_path_as_long_as_a_server_takes_one_is_masked_in_no_time(piece: str) -> None:
    begun = time.process_time()
    mask_secrets(None, "info", {"event": f"GET /{piece * (65_000 // len(piece))} HTTP/1.1"})
    assert time.process_time() - begun < 1


PROCESS = """
import logging, sys
import structlog
from countersign.runtime import logs

logs.configure(sys.argv[1])
hidden = sys.argv[2]
access = ("127.0.0.1:1", "GET", f"/v1/session/callback?code={hidden}&state={hidden}", "1.1", 303)
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *access)
logging.getLogger("some.library").warning("sent %s", f"Cookie: countersign={hidden}")
structlog.get_logger("ours").info("session_opened", person="il/il-head", refresh_token=hidden)
try:
    raise ValueError(f"refused: logout_token={hidden}")
except ValueError:
    structlog.get_logger("ours").exception("odd", answer={"id_token": hidden}, form=f"logout_token={hidden}")
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_lines_that_a_process_writes_are_masked(log_format: str) -> None:
    command = [sys.executable, "-c", PROCESS, log_format, HIDDEN]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "/v1/session/callback?code=***&state=***" in written
    assert all(
        one in written for one in ("sent Cookie: ***", "il/il-head", "odd", "refused: logout_token=***")
    )
    assert HIDDEN not in written
