"""The schema's history, as alembic applies it."""
