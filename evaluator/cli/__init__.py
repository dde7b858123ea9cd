"""The command line: click only, one file a command group, no logic."""
