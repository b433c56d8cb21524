"""The dossier: everything on one initiative in one ZIP, which an auditor verifies without this system (ADR 0021)."""
