"""What a process of the system needs to run: settings, logs, the Temporal client, and the embedded services."""
