"""What the search is asked beside its own course: by people, of trials; and what it asks the user's own oracle."""
