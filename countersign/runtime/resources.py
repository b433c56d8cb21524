"""Where the shipped data lies: in the installed package, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent.parent


def directory(name: Literal["agreements", "examples"]) -> Path:
    """The directory of shipped agreements or examples.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"the installation of countersign lacks its {name}/ directory")


def default_agreement() -> Path:
    """The programme agreement that is used unless another one is named."""
    return directory("agreements") / "il-az-ai.toml"
