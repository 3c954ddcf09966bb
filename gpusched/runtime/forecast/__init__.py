"""What a search will do and how long it takes, before it begins and while it runs."""
