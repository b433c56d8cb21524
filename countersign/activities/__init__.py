"""Idempotent effects. Each is one effect, one transaction, one key."""
