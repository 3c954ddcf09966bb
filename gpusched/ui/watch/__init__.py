"""A search as it goes on: on a terminal, as lines, in this process or for another one."""
