"""The life of an initiative as a Temporal workflow."""
