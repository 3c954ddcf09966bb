"""A search in full screen: looks at its files, and acts through its socket."""
