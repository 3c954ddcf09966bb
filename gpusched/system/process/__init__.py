"""What a process does about itself and about those it has started."""
