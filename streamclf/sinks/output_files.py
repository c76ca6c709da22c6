"""Files that results go into: whether they are there, how they come to be, what to say if not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from streamclf.core.errors import SinkError, UsageError
from streamclf.core.log import say

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


def is_there(path: Path) -> bool:
    """Whether there is something of this name; what cannot be looked at is not."""
    try:
        return path.exists()
    except OSError:  # the name is too long, or a folder above may not be entered
        return False


def holds_something(path: Path) -> bool:
    """Whether there is a file or a folder of this name; a device or a pipe holds nothing."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:
        return False


def is_special(path: Path) -> bool:
    """Whether there is something of this name that is neither file nor folder."""
    return is_there(path) and not holds_something(path)


def open_special(path: Path) -> int:
    """Open a device, or a named pipe, whose reader is waited for.

    Returns:
        The descriptor, which waits where there is no room.

    Raises:
        SinkError: It cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
    at_once = getattr(os, "O_NONBLOCK", 0)  # Windows has no pipes of this kind
    try:
        try:
            descriptor = os.open(path, flags | at_once)
            if at_once:
                os.set_blocking(descriptor, True)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            say(f"{path}: waiting for somebody who reads it")
            descriptor = os.open(path, flags)
    except OSError as error:
        raise SinkError(f"{path}: cannot be opened: {reason_of(error)}; name another") from error
    return descriptor


def open_to_append(path: Path, flags: int = 0) -> int:
    """Open a file for appending; it and its folder are made where they are not there.

    Args:
        path: The file.
        flags: Of `os.open`, besides those for appending.

    Returns:
        The descriptor.

    Raises:
        UsageError: ``flags`` ask for a new file, and it is there already.
        SinkError: It cannot be created.
    """
    make_folder(path)
    try:
        return os.open(path, _APPEND | flags, 0o666)
    except FileExistsError as error:
        raise already_exists(path) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise cannot_create(path, error) from error


def try_to_create(path: Path) -> None:
    """See at the beginning whether a file can be created that is written in the end.

    Raises:
        SinkError: It cannot.
    """
    there = is_there(path)
    if is_special(path):
        return
    os.close(open_to_append(path))
    if not there:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make the folder that a file is to lie in.

    Raises:
        SinkError: It cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SinkError(
            f"{path}: {path.parent} is a file, a folder is needed: rename one"
        ) from error
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise SinkError(
            f"{path}: its folder can neither be made nor entered: {reason}; name another"
        ) from error


def cannot_create(path: Path, error: Exception) -> SinkError:
    """What to say of a file that cannot be created."""
    return SinkError(f"{path}: cannot be created: {reason_of(error)}; name another file")


def reason_of(error: Exception) -> str:
    """The system's word for what failed."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def already_exists(path: Path, go_on: str = "") -> UsageError:
    """What to say of an output that must not be replaced; ``go_on`` is how it could be gone on."""
    ways = f", {go_on}" if go_on else ""
    return UsageError(
        f"{path}: exists already: add --overwrite to replace it{ways}, or name another file"
    )
