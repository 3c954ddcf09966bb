"""Tells people who have gone away that a search has ended."""
