"""What goes to a bank and what comes from one (ISO 20022): bytes in, bytes out; no I/O, no clock."""
