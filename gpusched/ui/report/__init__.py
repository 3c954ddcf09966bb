"""A search as one page of HTML that opens without a network."""
