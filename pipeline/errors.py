"""The errors a person can meet, each with the exit code it ends the program with.

Exit codes are an interface: 0 done; 2 usage; 3 unreadable or unsupported input; 4 done, but the
target was not met; 5 a model is missing; 6 the output or its scratch space cannot be written;
70 a fault of the program itself, of which a log is kept; 130 interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

EXIT_DONE = 0
EXIT_TARGET_MISSED = 4
EXIT_FAULT = 70
"""EX_SOFTWARE of sysexits.h."""

_BEGIN, _VALUE, _END = "\x02", "\x1f", "\x03"
_OPTION = re.compile(f"{_BEGIN}([a-z_]+)(?:{_VALUE}([^{_END}]*))?{_END}")

Naming = Callable[[str, str | None], str]
"""How an option is written, from its name as the library has it and its value, where one is meant."""


def option(name: str, value: object = None) -> str:
    """The mention of an option in an error's sentence: `sentence` writes it as its reader knows it."""
    return f"{_BEGIN}{name}{'' if value is None else f'{_VALUE}{value}'}{_END}"


def as_argument(name: str, value: str | None) -> str:
    """An option as the library's callers write it: `amount`, or `separator=embedded`."""
    return name if value is None else f"{name}={value}"


class MixagentError(Exception):
    """Base of every error whose message is meant for the user: one line, no traceback.

    Attributes:
        code: what kind of error it is, for programs: a word that does not change with the sentence.
        field: name of the option that is at fault, as the library has it; None where none is.
    """

    exit_code = 1
    code = "error"
    field: str | None = None

    def __init__(self, sentence: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        if field is not None:
            self.field = field
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, naming: Naming = as_argument) -> str:
        """The message of what was wrong and what to do, with each option written as `naming` has it."""
        return _OPTION.sub(lambda found: naming(found[1], found[2]), super().__str__())


class UsageError(MixagentError):
    """An option or argument that makes no sense, found after the command line was parsed."""

    exit_code = 2
    code = "usage"


class InputError(MixagentError):
    """An input that is missing, unreadable or of a kind that is not supported."""

    exit_code = 3
    code = "input"


class ModelMissingError(MixagentError):
    """A model was asked for by name and its weights or its package are not here."""

    exit_code = 5
    code = "model_missing"


class OutputError(MixagentError):
    """The output, or the scratch space it needs, cannot be written."""

    exit_code = 6
    code = "output"


class CancelledError(MixagentError):
    """The run was interrupted by the user."""

    exit_code = 130
    code = "cancelled"


def reason(error: OSError) -> str:
    """The system's words for an error, in lower case to stand in a sentence."""
    return (error.strerror or str(error)).lower()
