"""What a process needs to know of Linux and of Python, and the core does not: process trees, marks, sockets, paths."""
