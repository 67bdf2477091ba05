"""One file per command: its config, and run(config)."""
