"""A search for other programs: rows of trials and epochs, CSV, JSON, TensorBoard's files."""
