"""The end of a command: its exit code and its error message."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.quick_end import end_quickly
from train.base.errors import DataNotFoundError

Arguments = ParamSpec("Arguments")


def exit_codes(command: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Turn a command's errors into a line on standard error and an exit code.

    The process then ends quickly (`streamclf.core.quick_end`).

    Returns:
        The command. It returns what the original returns, 2 after wrong usage, 1 after another
        error and 130 after Ctrl-C.
    """

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        end_quickly()
        try:
            return command(*args, **kwargs)
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except StreamclfError as error:
            print(f"error: {error}", file=sys.stderr)
            if isinstance(error, DataNotFoundError):
                print(error.way_out, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return run
