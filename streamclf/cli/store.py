"""The commands about the store: what they do, and what they print."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from streamclf.core.errors import FAILED, OK, UsageError
from streamclf.core.text_format import format_count
from streamclf.runs.console import say
from streamclf.store.database import connect, default_store


def check(file: Path | None, store: Path | None, *, clips: bool) -> int:
    """Print what does not add up, or what the store holds. Returns the exit code.

    Raises:
        UsageError: Two stores are named.
        StoreError: The store cannot be read.
    """
    from streamclf.store.check import check_store

    path = _choose(file, store)
    found = check_store(path, clips=clips)
    if not found.faults:
        print(f"{path}: fine: {found.counts}")
        return OK
    for fault in found.faults:
        print(f"{path}: {fault}")
    say(f"error: {path}: does not add up: {format_count(len(found.faults), 'line')} above")
    return FAILED


def vacuum(file: Path | None, store: Path | None) -> int:
    """Compact the store, and print its sizes. Returns the exit code.

    Raises:
        UsageError: Two stores are named.
        StoreError: It cannot be compacted.
    """
    from streamclf.store.compact import compact, describe_compaction

    path = _choose(file, store)
    print(f"{path}: {describe_compaction(compact(path))}")
    return OK


def _choose(file: Path | None, store: Path | None) -> Path:
    """Choose the store that is named as an argument or by ``--store``, or else the user's.

    Raises:
        UsageError: Both name one.
    """
    if file is not None and store is not None:
        raise UsageError(f"FILE {file} and --store {store} both name a store: leave one out")
    return file or store or default_store()


def export_lines(
    file: Path | None,
    store: Path | None,
    output: Path | None,
    *,
    overwrite: bool,
    rescue: bool = False,
) -> int:
    """Write the store as JSON Lines. Returns the exit code.

    Raises:
        UsageError: The output exists, or two stores are named.
        SinkError: The output cannot be written.
        StoreError: The store cannot be read.
    """
    from streamclf.sinks.lines import LineFile
    from streamclf.store.export_lines import export

    path = _choose(file, store)
    if output is None:
        sys.stdout.flush()
    elif output.exists() and output.samefile(path):
        raise UsageError(f"--output {output}: is the store itself: name another file")
    with _whole(path, rescue=rescue) as whole, closing(export(whole)) as lines:
        first = next(lines, None)  # before a file is made or replaced
        with closing(LineFile(output, overwrite=overwrite)) as target:
            if first is not None:
                target.write(*first)
            for chunk in lines:
                target.write(*chunk)
    return OK


def _whole(path: Path, *, rescue: bool) -> AbstractContextManager[Path]:
    """The store itself, or what can be read of a damaged one."""
    if not rescue:
        return nullcontext(path)
    from streamclf.store.rescue import rescued

    return rescued(path, say)


def import_files(files: list[str], store: Path | None, folder: Path | None) -> int:
    """Take lines into the store, and print what is new. Returns the exit code.

    Raises:
        UsageError: The folder of the recordings is none.
        StoreError: The store cannot be written.
    """
    from streamclf.store.import_lines import LineImport

    if folder is not None and not folder.is_dir():
        raise UsageError(f"--folder {folder}: is not a folder: name that of the recordings")
    path = store or default_store()
    failures = 0
    with closing(connect(path, create=True)) as connection:
        lines = LineImport(connection, (folder or Path()).absolute(), say)
        for name in files:
            try:
                if name == "-":
                    lines.read("standard input", sys.stdin.buffer)
                else:
                    with Path(name).open("rb") as file:
                        lines.read(name, file)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                say(f"error: {name}: cannot be read: {reason[:1].lower()}{reason[1:]}")
                failures += 1
        imported = lines.write()
    print(f"{path}: {imported.describe()}")
    return FAILED if failures or imported.n_broken else OK
