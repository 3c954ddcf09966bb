"""`python -m gpusched.launcher FD`: started by an engine, which holds the other end of socket FD."""

from __future__ import annotations

import os
import socket
import sys

from gpusched.launcher.loading import launch

if __name__ == "__main__":
    line = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(line.fileno(), False)
    sys.exit(launch(line))
