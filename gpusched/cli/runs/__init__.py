"""Commands about runs as such: which there are, and deleting one."""
