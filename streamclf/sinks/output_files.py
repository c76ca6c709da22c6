"""Output files: whether they exist, how they are opened, and the errors if that fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamclf.core.errors import SinkError, UsageError
from streamclf.core.log import say

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


def is_there(path: Path) -> bool:
    """Whether something of this name exists; False if the system refuses to tell."""
    try:
        return path.exists()
    except OSError:  # the name is too long, or a folder above may not be entered
        return False


def holds_something(path: Path) -> bool:
    """Whether a file or a folder of this name exists; devices and pipes hold nothing."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:
        return False


def is_special(path: Path) -> bool:
    """Whether something of this name exists that is neither a file nor a folder."""
    return is_there(path) and not holds_something(path)


def open_special(path: Path) -> int:
    """Open a device, or a named pipe; wait until a reader has opened the pipe.

    Returns:
        A descriptor whose writes wait until the reader takes the data.

    Raises:
        SinkError: The device or pipe cannot be opened.
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
    """Open a file for appending; create it and its folder if they are missing.

    Args:
        path: The file.
        flags: Flags of `os.open` besides those for appending.

    Returns:
        The descriptor.

    Raises:
        UsageError: ``flags`` require a new file, but it exists.
        SinkError: The file cannot be created.
    """
    make_folder(path)
    try:
        return os.open(path, _APPEND | flags, 0o666)
    except FileExistsError as error:
        raise already_exists(path) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise cannot_create(path, error) from error


def try_to_create(path: Path) -> None:
    """Check at the start of a run that a file which is written at the end can be created.

    Raises:
        SinkError: The file cannot be created.
    """
    there = is_there(path)
    if is_special(path):
        return
    os.close(open_to_append(path))
    if not there:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create the folder of a file.

    Raises:
        SinkError: The folder cannot be created.
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
    """Make the error for a file that cannot be created."""
    return SinkError(f"{path}: cannot be created: {reason_of(error)}; name another file")


def reason_of(error: Exception) -> str:
    """Return the system's reason for an error, in lower case."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def already_exists(path: Path, go_on: str = "") -> UsageError:
    """Make the error for an output that exists and must not be replaced.

    Args:
        path: The output.
        go_on: Advice on continuing the file; empty if it cannot be continued.
    """
    ways = f", {go_on}" if go_on else ""
    return UsageError(
        f"{path}: exists already: add --overwrite to replace it{ways}, or name another file"
    )


@contextmanager
def write_whole(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Write a file under another name beside it; it gets its own name once it is whole.

    Args:
        path: The file.
        overwrite: Whether a file that is there is replaced.

    Yields:
        The path to write to.

    Raises:
        UsageError: The file exists and may not be replaced.
        SinkError: It cannot be written.
    """
    if is_there(path) and not overwrite:
        raise already_exists(path)
    if is_there(path) and not path.is_file():
        raise SinkError(f"{path}: is no file, which is written whole: name another")
    make_folder(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise cannot_create(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
