"""What can go wrong, by name.

Every error that gpusched raises on purpose is a GpuschedError: its text is one line that names
the thing, its value and the way out, and the command line prints that line instead of a traceback.
"""

import sys
from collections.abc import Sequence

from gpusched.printable import clean


class GpuschedError(Exception):
    """Root of all errors that gpusched raises on purpose."""


class UsageError(GpuschedError, ValueError):
    """What the user asked for cannot be done as asked (exit code 2)."""


class SearchFailed(GpuschedError, RuntimeError):
    """The search ended by failures (exit code 1); it can be continued once their cause is removed."""


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


def encodable(text: str) -> str:
    """The text as any file takes it: what UTF-8 has no form for is spelled out."""
    return text.encode(errors="backslashreplace").decode()


def shown(value: object) -> str:
    """A value of the user's own as Python writes it. Raises nothing."""
    try:
        return encodable(repr(value))
    except Exception:
        return type(value).__name__


def name_of_class(error: BaseException) -> str:
    """Its class's name, which may have been made of anything."""
    return clean(encodable(type(error).__name__))


def words_of(error: BaseException) -> str:
    """What it says, in one line. Raises nothing, whatever the class of the user's own does when it is asked."""
    try:
        return encodable(" ".join(str(error).split()))
    except Exception:
        return ""


def traceback_of(error: BaseException) -> str:
    """Its traceback. Raises nothing either."""
    import traceback

    try:
        return encodable("".join(traceback.format_exception(error)))
    except Exception:
        return f"{name_of_class(error)}\n"


def fails_one_trial(error: BaseException) -> bool:
    """Whether it says of itself that its trial has failed and is not to be tried again.

    By name, here and below: scripts may raise the classes of Keras Tuner, which is not imported here.
    """
    return "FailedTrialError" in [kind.__name__ for kind in type(error).__mro__]


def fatal_classes(error: BaseException) -> list[str]:
    """The classes of an error that ends the whole search, as module:name, FatalError last; none of any other error."""
    kinds = type(error).__mro__
    names = [kind.__name__ for kind in kinds]
    if "FatalError" not in names:
        return []
    return [f"{kind.__module__}:{kind.__qualname__}" for kind in kinds[: names.index("FatalError") + 1]]


def raised_again(classes: Sequence[str], message: str) -> Exception | None:
    """An error of another process, made anew from the first of its classes that this process has loaded.

    Imports nothing: a class that the caller does not have is none that the caller can catch. None where there is none.
    """
    for each in classes:
        module, _, name = each.partition(":")
        found: object = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, Exception):
            try:
                return found(message)
            except Exception:
                continue  # It wants other arguments; its base class does not.
    return None
