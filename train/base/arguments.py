"""A parser for the options of a command, which reports each mistake in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from streamclf.core.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that raises `UsageError` without printing the usage."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Parse the options; an option that does not exist is reported before any other mistake.

        Raises:
            UsageError: An option is misspelt, lacks its value, has a wrong value, or is missing.
        """
        given = sys.argv[1:] if args is None else list(args)
        self._check_names(given)
        return super().parse_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found, with the command that lists the options.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{message}; {self.prog} --help lists the options")

    def _check_names(self, words: Sequence[str]) -> None:
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            # argparse takes a word with a space for a value, and accepts the beginning of a name.
            if not name.startswith("--") or " " in word or any(k.startswith(name) for k in known):
                continue
            nearest = get_close_matches(name, known, n=1)
            meant = f", did you mean {nearest[0]}?" if nearest else ";"
            raise UsageError(f"there is no option {name}{meant} {self.prog} --help lists them all")


def numbers(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """A type of option that takes several numbers, separated by commas."""

    def read(text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be numbers as in 3,4") from None

    return read


def parse_folds(text: str) -> list[int]:
    """Folds of an option, such as ``1,2,3``, for `argparse`."""
    try:
        return sorted({int(fold) for fold in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be folds as in 1,2,3") from None
