"""A search and its results in a notebook."""
