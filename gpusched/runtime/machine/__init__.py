"""The machine under a running search: which slots it has now, and what its devices and trials show of themselves."""
