"""The embedded default's OpenID providers, one issuer a path, for a browser and for the command line.

They sign in people who do not exist, by the one password of the home. Sign-ins, codes and refresh tokens live in the
memory of the process: a restart signs everybody out.
"""

from __future__ import annotations

from typing import Final

DEFAULT_PORT: Final = 8081
