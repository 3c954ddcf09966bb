"""What Linux offers beyond the standard library, and the core knows nothing of: process trees, marks, sockets."""
