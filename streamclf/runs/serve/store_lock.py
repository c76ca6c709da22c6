"""Lock that lets one `streamclf serve` at a time write a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from os import strerror
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.store.database import UnwritableStoreError, refusal


@contextmanager
def lock_store(store: Path) -> Iterator[None]:
    """Hold the lock of a store; the system releases it when the process ends, however it ends.

    Where its disk can hold no file of the lock now, there is none: hearing goes before it.

    Raises:
        StoreError: Another process holds it, or its file cannot be made.
    """
    from filelock import FileLock, Timeout

    real = store.resolve()  # one store under two names has one lock
    file = real.with_name(f"{real.name}-serve.lock")
    lock = FileLock(file, thread_local=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        if not file.exists():  # such as in /proc
            raise refusal(store, FileNotFoundError(ENOENT, strerror(ENOENT))) from None
        raise StoreError(
            f"{store}: another streamclf serve writes this store: end that one, add the sources to "
            "its settings and reload it, or name another store by --store"
        ) from None
    except (OSError, NotImplementedError) as error:
        refused = refusal(store, error)
        if not isinstance(refused, UnwritableStoreError):
            raise refused from error
    try:
        yield
    finally:
        lock.release()
