"""What one could take instead of this engine, each doing the least that answers the same messages durably.

Each is a program of its own (``python -m benchmarks.peers.orm_peer --help``) that runs in ``.venv-bench``, since its
packages are no business of the engine's; nothing here imports ``countersign``.
"""
