"""The runs that there are: which one is meant, all of them, and one that goes."""
