"""Tells a bank and kills itself on the way: ``python -m tests.faults.dying_bank``.

Reads lines from standard input: ``<point> <order as JSON>``. For each it forks, counts the calls and returns in our own
code, and kills the child with SIGKILL at that point. Prints ``killed``, or how many points a child passed to its end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from countersign.activities.outbox import Outbox
from countersign.activities.payments import PaymentOrder
from countersign.store.session import Database

_OURS = (f"activities{os.sep}outbox.py", f"store{os.sep}payments.py", f"store{os.sep}session.py")
_passed = 0


def die_at(point: int) -> None:
    """Die at the so many-th call or return in our own code."""

    def count(frame: FrameType, event: str, _: Any) -> None:
        global _passed
        if frame.f_code.co_filename.endswith(_OURS):
            _passed += 1
            if _passed == point:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)


async def tell(order: PaymentOrder) -> None:
    database = Database(os.environ["COUNTERSIGN_DATABASE_URL"], pool_size=1)
    place = Path(os.environ["COUNTERSIGN_PAYMENT_OUTBOX"])
    await Outbox(database, place, Path(os.environ["COUNTERSIGN_SIGNING_KEYS"])).instruct(order)


def main() -> None:
    for line in sys.stdin:
        point, _, order = line.partition(" ")
        child = os.fork()
        if child == 0:
            die_at(int(point))
            asyncio.run(tell(PaymentOrder.model_validate_json(order)))
            sys.setprofile(None)
            os.write(1, f"{_passed}\n".encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            os.write(1, b"killed\n")
        elif status:
            os.write(1, b"failed\n")


if __name__ == "__main__":
    main()
