"""Commands that look at a search and its machine, and change nothing."""
