"""The record in PostgreSQL: the only SQL of the system."""
