"""A program whose lines are in its environment: ``PROGRAM='print(1)' python -m tests.program``."""

# What the lines may use.
import os
import signal  # noqa: F401
import sys  # noqa: F401
import tempfile  # noqa: F401
import time  # noqa: F401

if __name__ == "__main__":
    exec(os.environ["PROGRAM"])
