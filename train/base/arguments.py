"""The options of a command: what is wrong with them is said in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from streamclf.core.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are `UsageError` without the usage in front of them."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse's; an option that does not exist is told before anything else is missed.

        Raises:
            UsageError: An option is misspelt, lacks its value, has a wrong one, or is missing.
        """
        given = sys.argv[1:] if args is None else list(args)
        self._check_names(given)
        return super().parse_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what argparse found, and where the options are listed.

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
            # argparse takes a word with a space in it for a value, and a name's beginning for it.
            if not name.startswith("--") or " " in word or any(k.startswith(name) for k in known):
                continue
            nearest = get_close_matches(name, known, n=1)
            meant = f", did you mean {nearest[0]}?" if nearest else ";"
            raise UsageError(f"there is no option {name}{meant} {self.prog} --help lists them all")
