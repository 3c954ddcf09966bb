"""What can go wrong, by name.

Every error that gpusched raises on purpose is a GpuschedError: its text is one line that names
the thing, its value and the way out, and the command line prints that line instead of a traceback.
"""


class GpuschedError(Exception):
    """Root of all errors that gpusched raises on purpose."""


class UsageError(GpuschedError, ValueError):
    """What the user asked for cannot be done as asked (exit code 2)."""


class FailedTrialError(GpuschedError):
    """Raise it in user code: this trial has failed, do not retry it; the search goes on."""


class FatalError(GpuschedError):
    """Raise it in user code: the whole search cannot go on (exit code 1)."""


class FatalValueError(FatalError, ValueError):
    """A FatalError that is a ValueError as well."""


class FatalTypeError(FatalError, TypeError):
    """A FatalError that is a TypeError as well."""


class FatalRuntimeError(FatalError, RuntimeError):
    """A FatalError that is a RuntimeError as well."""
