"""How a session ends that does not end when it is asked to."""
