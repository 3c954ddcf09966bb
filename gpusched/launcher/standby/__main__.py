"""`python -m gpusched.launcher.standby FD PID`: imports Keras, and waits at FD for orders of the process PID."""

from __future__ import annotations

import os
import socket
import sys

from gpusched.launcher.loading import launch
from gpusched.launcher.source import import_framework
from gpusched.launcher.standby import wakes
from gpusched.launcher.standby.copies import wait_for_orders

if __name__ == "__main__":
    wakes.before = None
    orders = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(orders.fileno(), False)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import_framework()
    wait_for_orders(orders, int(sys.argv[2]), lambda line, source: launch(line, None, source))
