"""Commands that act on a running search, through the socket in its directory."""
