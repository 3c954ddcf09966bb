"""`python -m gpusched.trial ORDER FD PID`: a trial's process that starts from nothing.

ORDER holds a launcher's Load message and a JobSpec, a line each. FD takes the first sign of life; PID is the
launcher's.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import msgspec

from gpusched.launcher.children import NO_ROOM, enter, own_streams, train
from gpusched.launcher.protocol import Load
from gpusched.launcher.source import Written
from gpusched.storage.records import JobSpec
from gpusched.system.streams import flush, show


def main() -> int:
    own_streams()
    first, second = Path(sys.argv[1]).read_bytes().splitlines()
    life = int(sys.argv[2])
    spec = msgspec.json.decode(second, type=JobSpec)
    try:
        enter(spec, int(sys.argv[3]))
    except OSError as error:
        show(error)
        return NO_ROOM
    with contextlib.suppress(OSError):  # The launcher may be gone; the trial goes on.
        os.write(life, b"1")
        os.close(life)
    return train(None, Written(msgspec.json.decode(first, type=Load)), spec, lambda: None)


if __name__ == "__main__":
    code = main()
    flush()
    os._exit(code)  # Not through the frameworks' own clean-up, which takes a slot's time.
