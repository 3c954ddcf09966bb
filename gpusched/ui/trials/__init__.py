"""What trials have reported, and which are the best."""
