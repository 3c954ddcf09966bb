"""Copies of this process that wait to become launchers.

A copy is a fork that does nothing but fork again when it is told to, so that a launcher that died can be replaced by
another that is as fresh. It ends with the process it was made of; launchers that came of it do not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import msgspec

from gpusched.launcher.children import own_streams
from gpusched.launcher.protocol import Load
from gpusched.launcher.source import GoOn, UserCode
from gpusched.launcher.standby import wakes
from gpusched.system.process.kernel import END_SECONDS, bury, die_with, ended_within
from gpusched.system.process.tags import bear
from gpusched.system.streams import flush, show

#: Signals whose handlers a caller may have set, for itself alone.
_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


#: Serves the scheduler at a socket with the user's code: `loading.launch`.
Launch: TypeAlias = "Callable[[socket.socket, UserCode, Load | None], int]"

#: How long a copy may take to fork.
_ANSWER_SECONDS = 30.0
#: Bytes; a script's argv and an environment may be long.
_LONGEST_ORDER = 1 << 18


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    mark: str
    source: Load
    environ: dict[str, str] | None = None  #: where the copy does not have the caller's, and does not come to it


@dataclass(eq=False)
class Copy:
    """A copy, in the process that it was made of."""

    pid: int
    orders: socket.socket
    maker: int
    fresh: bool = False  #: no fork, but a process that has nothing of the caller's

    @classmethod
    def make(cls, code: UserCode, launch: Launch) -> Copy:
        """Forks this process. What the copy's forks do is launch(line, code, source).

        Raises OSError where that fails; GoOn, in forks of the copy's launchers, to go on from here in place of the
        process that called this.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        maker = os.getpid()
        flush()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid:
            theirs.close()
            return cls(pid, ours, maker)
        try:
            ours.close()
            wakes.before = None
            wait_for_orders(theirs, maker, lambda line, source: launch(line, code, source))
        except GoOn:
            raise
        except BaseException as error:
            show(error)
        os._exit(1)

    @property
    def usable(self) -> bool:
        """Whether this process, and no fork of it, made the copy, and it is alive."""
        if self.maker != os.getpid():
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def launch(self, line: socket.socket, mark: str, source: Load) -> tuple[int, int]:
        """Has it fork a launcher that serves at `line`; returns pid and pidfd of the launcher's guardian.

        Raises OSError where no process can be started.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)  # Somebody may have stopped it.
        # Who goes on with the script comes to its environment.
        environ = dict(os.environ) if self.fresh or source.pickled_fd is not None else None
        order = msgspec.json.encode(_Order(mark=mark, source=source, environ=environ))
        pickled = [] if source.pickled_fd is None else [source.pickled_fd]
        socket.send_fds(self.orders, [order], [line.fileno(), *pickled])
        # A fork answers at once; what has to import a framework first takes its time.
        if not self.fresh and not select.select([self.orders], [], [], _ANSWER_SECONDS)[0]:
            raise OSError(errno.ETIMEDOUT, "the process that is to start it is frozen or stuck")
        said, fds, _, _ = socket.recv_fds(self.orders, 64, 1)
        if not fds:
            number = int(said) if said else errno.ESRCH  # It says why it could not fork, or is dead.
            raise OSError(number, os.strerror(number))
        return int(said), fds[0]

    def close(self) -> None:
        """Ends it; launchers that came of it live on."""
        if self.maker == os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            if ended_within(self.pid, END_SECONDS):  # Otherwise it is frozen, and ends as soon as it can.
                bury(self.pid)
        self.orders.close()


def wait_for_orders(orders: socket.socket, maker: int, serve: Callable[[socket.socket, Load], int]) -> NoReturn:
    """In the copy: forks a guardian for each order, until the process that it was made of has ended."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the scheduler's to hear, and so is a lost terminal.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    own_streams()  # A notebook's need threads that the fork has not.
    die_with(maker)
    while True:
        said, fds, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, 2)
        if not said or not fds:
            os._exit(0)
        order = msgspec.json.decode(said, type=_Order)
        _bury()
        try:
            pid = os.fork()
        except OSError as error:
            orders.send(str(error.errno).encode())
        else:
            if pid == 0:
                _guard(orders, fds, order, serve)
            pidfd = os.pidfd_open(pid)
            socket.send_fds(orders, [str(pid).encode()], [pidfd])
            os.close(pidfd)
        for fd in fds:
            os.close(fd)


def _bury() -> None:
    """Guardians that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _guard(
    orders: socket.socket, fds: list[int], order: _Order, serve: Callable[[socket.socket, Load], int]
) -> NoReturn:
    """In the fork of the copy: a launcher's guardian, to its end."""
    status = 1
    try:
        orders.close()
        os.setsid()
        line, *pickled = fds
        source = msgspec.structs.replace(order.source, pickled_fd=pickled[0] if pickled else None)
        if order.environ is not None:
            os.environ.clear()
            os.environ.update(order.environ)
        os.set_inheritable(line, False)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        bear(order.mark)
        status = serve(socket.socket(fileno=line), source)
    except GoOn:
        raise
    except SystemExit:
        status = 0
    except BaseException as error:
        show(error)
    flush()
    os._exit(status)
