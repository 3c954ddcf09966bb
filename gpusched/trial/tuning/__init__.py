"""A tuner's own methods where a trial trains: the trial they are given, and what they do to it."""
