"""The run folder: everything about one training, in formats that need no unpickling.

::

    config.json               network, recipe, data, seed: enough to train it again
    history.json              a row for each epoch
    network.txt               every layer, its shapes, parameters and multiply-adds
    weights.safetensors       the result: the last epoch's weights (averaged where the recipe
                              averages), or those of the best epoch, chosen by validation clips
    checkpoints/last          the state of the loop, for --resume (safetensors, too)
    checkpoints/best-EPOCH    weights of the best epochs
    held_out.safetensors      logits of the held-out fold's windows, for temperature and thresholds
    result.json               accuracy on the held-out fold
    filters.safetensors       frequency responses of a learned front end at some of the epochs
    losses.png, accuracies.png, filters.png, filters.gif, kernels.png

`train.evaluate` adds its tables and pictures. A cross-validation (``--folds all``) has a run for
each fold in ``fold-1``, ``fold-2``, ... and a ``result.json`` of all of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor

from train.base.errors import RunError
from train.nets.inference import WindowLogits

LOCK = ".lock"
"""Lock file that exists while a process writes into the folder; its lock ends with the process."""

CONFIG = "config.json"
RESULT = "result.json"
WEIGHTS = "weights.safetensors"


class RunFolder:
    """The folder of one run; every file in it is replaced as a whole.

    Attributes:
        path: Path of the folder.
        writes: Whether this process writes. Of several processes only the first one does.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self._lock: FileLock | None = None

    @staticmethod
    def default_path(name: str) -> Path:
        """The folder of a run whose command names none."""
        return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"

    @classmethod
    def create(cls, path: Path | None, name: str, *, overwrite: bool) -> RunFolder:
        """Make a new run folder, ``runs/NAME-DATE`` if no path is given, and lock it.

        Args:
            path: The folder.
            name: Name of the network, for the default path.
            overwrite: Replace a run that exists there.

        Raises:
            RunError: The folder exists and holds something, another process writes into it, or it
                cannot be made.
        """
        run = cls(path or cls.default_path(name))
        try:
            replaces = cls.check_free(run.path, overwrite=overwrite)
            run.path.mkdir(parents=True, exist_ok=True)
            run.lock()
            if replaces:
                run._empty()
        except OSError as error:
            raise RunError(f"{run.path}: cannot make the run folder: {error}") from error
        return run

    def lock(self) -> None:
        """Keep every other process from training into this folder, until `unlock`.

        The lock ends with the process, however that ends.

        Raises:
            RunError: Another process has locked it.
        """
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunError(
                f"{self.path}: a training that is running writes into it: wait for its end, or "
                "name another folder with --save"
            ) from None
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error}") from error
        self._lock = lock

    def unlock(self) -> None:
        """Let other processes train into this folder."""
        if self._lock is None:
            return
        # Deleted before the release, so that no process waits for a file that is gone. Windows
        # cannot delete it while it is open.
        with suppress(OSError):
            (self.path / LOCK).unlink()
        self._lock.release()
        self._lock = None

    def _empty(self) -> None:
        """Delete everything in the folder but the lock."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()

    @classmethod
    def check_free(cls, path: Path, *, overwrite: bool) -> bool:
        """Refuse a folder that a new run must not use.

        Args:
            path: The folder.
            overwrite: Allow a run that exists there.

        Returns:
            Whether there is a run to be replaced.

        Raises:
            RunError: It is no folder, holds something, cannot be read, or another process trains
                into it.
        """
        try:
            if not path.exists() or (path.is_dir() and _is_empty(path)):
                return False
        except OSError as error:
            raise RunError(f"{path}: cannot be the run folder: {error}") from error
        if not overwrite:
            raise RunError(
                f"{path}: exists; --resume continues it, --overwrite replaces it, "
                "or name another folder with --save"
            )
        # Only runs are deleted, not any folder that --save happens to name.
        if not (path / CONFIG).is_file():
            raise RunError(f"{path}: exists and is no run folder: name another with --save")
        former = cls(path)
        former.lock()
        former.unlock()
        return True

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run folder.

        Raises:
            RunError: The path is no run folder.
        """
        if not (path / CONFIG).is_file():
            raise RunError(f"{path}: no run folder, it has no {CONFIG}; training makes one")
        return cls(path)

    def sub_run(self, name: str) -> RunFolder:
        """The folder of a run inside this one, as a cross-validation has them."""
        return RunFolder(self.path / name, writes=self.writes)

    def discard(self) -> None:
        """Delete a folder whose run could not be started."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.unlock()

    def write_json(self, name: str, content: Any) -> None:
        """Write one of the JSON files."""
        self.write(name, (json.dumps(content, indent=1) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read one of the JSON files.

        Raises:
            RunError: It is missing or not JSON.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name}: cannot be read: {error}; train anew") from error

    def write_tensors(
        self, name: str, tensors: dict[str, Any], note: dict[str, str] | None = None
    ) -> None:
        """Write named tensors or arrays, with text as metadata."""
        if not self.writes:
            return
        arrays = {key: np.asarray(_as_array(value), order="C") for key, value in tensors.items()}
        with self._replacing(name) as partial:
            save_file(arrays, partial, metadata=note)
            # save_file makes a file that only its owner can read.
            shutil.copymode(self.path / CONFIG, partial)

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Read named tensors and the text in the metadata.

        Raises:
            RunError: The file is missing or damaged.
        """
        path = self.path / name
        try:
            with safe_open(path, framework="np") as file:
                note = file.metadata() or {}
            arrays = load_file(path)
        except (OSError, SafetensorError) as error:
            raise RunError(f"{path}: cannot be read: {error}; train anew") from error
        return {key: torch.from_numpy(array) for key, array in arrays.items()}, note

    def write_held_out(self, outputs: WindowLogits) -> None:
        """Keep the network's outputs for the held-out fold."""
        arrays = {"logits": outputs.logits, "clip": outputs.clip, "targets": outputs.targets}
        if outputs.weight is not None:
            arrays["weight"] = outputs.weight
        self.write_tensors("held_out.safetensors", arrays)

    def read_held_out(self) -> WindowLogits | None:
        """Read the network's outputs for the held-out fold; None if no fold was held out."""
        if not (self.path / "held_out.safetensors").exists():
            return None
        tensors, _ = self.read_tensors("held_out.safetensors")
        return WindowLogits(**{key: tensor.numpy() for key, tensor in tensors.items()})

    def write(self, name: str, content: bytes) -> None:
        """Write one of the other files."""
        if self.writes:
            with self._replacing(name) as partial:
                partial.write_bytes(content)

    def remove(self, name: str) -> None:
        """Delete one of the files, if it is there."""
        if self.writes:
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        """Give a temporary file that replaces the target once it is complete, or is deleted."""
        target = self.path / name
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(exist_ok=True)
            yield partial
            partial.replace(target)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{target}: cannot be written: {error}; make room or name another folder with "
                "--save"
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _is_empty(path: Path) -> bool:
    return all(entry.name == LOCK for entry in path.iterdir())


def _as_array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
