"""Commands that start a search, or join one."""
