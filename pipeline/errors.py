"""The errors a person can meet, each with the exit code it ends the program with.

Exit codes are an interface: 0 done; 2 usage; 3 unreadable or unsupported input; 4 done, but the
target was not met; 5 a model is missing; 6 the output or its scratch space cannot be written;
130 interrupted.
"""

EXIT_DONE = 0
EXIT_TARGET_MISSED = 4


class MixagentError(Exception):
    """Base of every error whose message is meant for the user: one line, no traceback."""

    exit_code = 1


class UsageError(MixagentError):
    """An option or argument that makes no sense, found after the command line was parsed."""

    exit_code = 2


class InputError(MixagentError):
    """An input that is missing, unreadable or of a kind that is not supported."""

    exit_code = 3


class ModelMissingError(MixagentError):
    """A model was asked for by name and its weights or its package are not here."""

    exit_code = 5


class OutputError(MixagentError):
    """The output, or the scratch space it needs, cannot be written."""

    exit_code = 6


class CancelledError(MixagentError):
    """The run was interrupted by the user."""

    exit_code = 130


def reason(error: OSError) -> str:
    """What the system says about an error, in lower case to stand in a sentence."""
    return (error.strerror or str(error)).lower()
