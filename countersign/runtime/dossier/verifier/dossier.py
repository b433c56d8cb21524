"""A dossier that is being verified: what was read of it so far, and what was found."""

from __future__ import annotations

from typing import Any

from countersign.runtime.dossier.verifier.forms import Json, strict_json


class Dossier:
    """A dossier, and what is found wrong with it."""

    def __init__(self, files: Any, keys: str | None, against: str | None, manifest: str | None) -> None:
        self.files, self.own_keys, self.against, self.expected = files, keys, against, manifest
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.names: list[str] = []
        self.manifest_hash = ""
        self.digests: dict[str, str] = {}
        self.trail: list[Json] = []
        self.about: Json = {}
        self.keys: list[Json] = []
        self.agreements: dict[tuple[str, int], Json] = {}
        self.documents: dict[str, Json] = {}
        self.checkpoint: tuple[str, int, bytes] | None = None

    def read(self, name: str) -> bytes:
        """A file, whole."""
        with self.files.open(name) as file:
            data: bytes = file.read()
        return data

    def json(self, name: str) -> Any:
        """A JSON file."""
        return strict_json(self.read(name))

    def entry(self, sequence: Any) -> Json:
        """An entry of the trail; an empty one where there is none."""
        there = isinstance(sequence, int) and 0 < sequence <= len(self.trail)
        return self.trail[sequence - 1] if there else {}

    def of(self, *actions: str) -> list[Json]:
        """The entries of some actions."""
        return [one for one in self.trail if one["action"] in actions]

    def sides(self) -> list[str]:
        """The directorates of the agreement that it is bound to last."""
        last = max(self.agreements, key=lambda key: key[1])
        return [one["id"] for one in self.agreements[last]["directorate"]]
