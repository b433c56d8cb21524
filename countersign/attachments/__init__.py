"""Attachments: bytes known by their SHA-256, what they are, and where they are kept (ADR 0018)."""
