"""What people see of a search: drawn from its events and files, here or in another process."""
