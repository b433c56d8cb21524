"""The compose file fits the program that it runs. Its form is checked by ``make check``; this is its sense."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from countersign.cli import app
from countersign.domain.agreement_file import read
from countersign.runtime.settings import Settings
from countersign.store.roles import API, ROLES, SIDE, WORKER

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if "build" in one}
FIELDS = {f"COUNTERSIGN_{name.upper()}": name for name in Settings.model_fields}


def test_every_setting_in_the_compose_file_is_one_that_the_program_reads() -> None:
    named = set(
        re.findall(r"\bCOUNTERSIGN_[A-Z_]+", TEXT + (ROOT / ".env.example").read_text(encoding="utf-8"))
    )
    assert named - set(FIELDS) == set()


@pytest.mark.parametrize("service", sorted(OURS))
def test_the_settings_of_a_service_are_valid(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OURS[service]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, value)
    try:
        Settings()
    except ValidationError as error:
        pytest.fail(str(error))


def test_what_is_named_and_not_there_is_one_question_to_the_api_and_to_the_workers() -> None:
    for name in ("api", "worker"):
        assert OURS[name]["environment"].get("COUNTERSIGN_ATTACHMENTS_ABSENT", "not handed on") is None


@pytest.mark.parametrize("service", sorted(OURS))
def test_a_service_of_ours_runs_a_command_that_there_is(service: str) -> None:
    known = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback is not None}
    assert OURS[service]["command"][0] in known


def test_what_a_service_depends_on_is_there_and_can_tell_when_it_is_ready() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert name in SERVICES
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert "restart" not in SERVICES[name]


def test_everything_that_is_published_is_published_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_no_secret_has_a_default() -> None:
    used = re.findall(r"\$\{([A-Z_]*PASSWORD[A-Z_]*)(:?[-?])?", TEXT)
    whose = ("POSTGRES", "RECORD", "API", "WORKER", "IL", "AZ", "TEMPORAL")
    assert {name for name, _ in used} == {f"{one}_PASSWORD" for one in whose}
    assert {how for _, how in used} == {":?"}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}=$", example, flags=re.MULTILINE) for name, _ in used)


def test_the_keys_of_payloads_are_given_to_those_who_handle_content_and_to_nobody_else() -> None:
    given = {name for name, one in SERVICES.items() if "payload_keys" in one.get("secrets", [])}
    named = {
        name for name, one in SERVICES.items() if "COUNTERSIGN_PAYLOAD_KEYS" in one.get("environment", {})
    }
    assert given == named == {"api", "worker", "worker-il", "worker-az"}
    assert COMPOSE["secrets"] == {"payload_keys": {"file": "${PAYLOAD_KEYS:?set it in .env}"}}
    assert re.search(r"^PAYLOAD_KEYS=$", (ROOT / ".env.example").read_text(encoding="utf-8"), flags=re.M)
    for name in given:
        assert OURS[name]["environment"]["COUNTERSIGN_PAYLOAD_KEYS"] == "/run/secrets/payload_keys"


def test_every_process_has_a_login_of_its_own_in_the_role_for_what_it_does() -> None:
    made = dict(
        re.findall(
            r"CREATE ROLE (\w+) LOGIN PASSWORD :'\w+' IN ROLE (\w+);",
            COMPOSE["configs"]["databases"]["content"],
        )
    )
    urls = {name: one["environment"]["COUNTERSIGN_DATABASE_URL"] for name, one in OURS.items()}
    logins = {name: re.sub(r".*//(\w+):.*", r"\1", url) for name, url in urls.items()}
    assert len(set(urls.values())) == len(urls)
    assert logins.pop("migrate") == "countersign"
    assert {name: made[login] for name, login in logins.items()} == {
        "api": API,
        "worker": WORKER,
        "worker-il": SIDE,
        "worker-az": SIDE,
    }
    groups = set(re.findall(r"CREATE ROLE (\w+) NOLOGIN;", COMPOSE["configs"]["databases"]["content"]))
    assert groups == set(ROLES)


def test_every_image_is_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert [one for one in images if not re.fullmatch(r"[a-z/-]+:\d[\w.-]*", one)] == []


def test_every_queue_is_served_and_each_sides_queue_by_a_worker_of_its_own() -> None:
    agreement = read((ROOT / "agreements" / "il-az-ai.toml").read_text(encoding="utf-8"))
    served = {
        name: json.loads(one["environment"]["COUNTERSIGN_DIRECTORATES"])
        for name, one in OURS.items()
        if one["command"] == ["worker"]
    }
    assert served == {"worker": []} | {f"worker-{side}": [side] for side in agreement.directorate_ids}
    central = {
        name
        for name in served
        if OURS[name]["environment"].get("COUNTERSIGN_SERVE_INITIATIVES", "true") == "true"
    }
    assert central == {"worker"}
