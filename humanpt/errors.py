"""What can go wrong in a way that a user can mend.

A caller's mistake inside the code is a plain `ValueError`. Everything here carries one line for a person: what is
wrong, where, and what to do next. Only the command line catches these.
"""


class HumanptError(Exception):
    """Something a user can mend; the text says what, where and what next."""

    exit_code = 2


class ConfigError(HumanptError):
    """A field of a config has a value that cannot work, or there is no such field."""


class InputError(HumanptError):
    """A file or folder given as input is missing, unreadable or of another kind."""


class OutputError(HumanptError):
    """A result cannot be written where it was asked for."""


class ShardError(HumanptError):
    """A pair shard is cut short, damaged or written by a newer version."""


class CheckpointError(HumanptError):
    """A checkpoint is missing, damaged or belongs to another model."""


class TrainingError(HumanptError):
    """Training had to stop; what was saved before is intact."""


class NothingFoundError(HumanptError):
    """The command ran to its end without finding anything to work on."""

    exit_code = 1


def unwrapped(error: HumanptError) -> HumanptError:
    """The error that a process which reads data met; PyTorch wraps it in a traceback, of which the last line counts."""
    line = str(error).strip().rpartition("\n")[2]
    return type(error)(line.removeprefix(f"{type(error).__module__}.{type(error).__name__}: "))
