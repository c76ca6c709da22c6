"""Opening of a planned recording: where it lies, or as a copy where its format needs one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamclf.archive.manifest import PlannedRecording
from streamclf.archive.place import Place
from streamclf.archive.remote_file import RANGE_BYTES
from streamclf.core.errors import PlaceError, RecordingError
from streamclf.sources.containers.streamed_file import File, StreamedFile
from streamclf.sources.recording.recording import Recording

_COPIED = b"OggS"
"""First bytes of files whose parts are found by reading all of them."""
_FOLDERS = 4
"""Names at the end of a path by which the time of a recording may be told."""


def fetch_planned(archive: Place, planned: PlannedRecording) -> File:
    """Find a recording as it was planned; of a remote one, the first megabytes are fetched.

    Raises:
        ChangedError: It is gone, or is another one than planned.
        PlaceError: Its bytes cannot be had.
    """
    archive.check_unchanged(planned.path, planned.bytes, planned.mark)
    file = archive.open_file(planned.path, planned.bytes, first_bytes=RANGE_BYTES)
    if isinstance(file, StreamedFile):
        file.open().read(1)
    return file


@contextmanager
def open_planned(file: File, planned: PlannedRecording) -> Iterator[Recording]:
    """Open a recording that was fetched, under its path in the archive as its name.

    Raises:
        RecordingError: It cannot be opened, for what its bytes are.
        PlaceError: Its bytes cannot be had.
    """
    if not isinstance(file, StreamedFile):
        with _open_local(file, planned) as recording:
            yield recording
    elif file.open().read(len(_COPIED)) == _COPIED:
        with (
            tempfile.TemporaryDirectory(prefix="streamclf-") as folder,
            _open_local(_copy(file, Path(folder)), planned) as recording,
        ):
            yield recording
    else:
        with Recording(file, planned.path) as recording:
            yield recording


def _open_local(path: Path, planned: PlannedRecording) -> Recording:
    try:
        return Recording(path, planned.path)
    except RecordingError as error:
        if isinstance(error.__cause__, OSError):  # the disk, not the recording
            raise PlaceError(str(error)) from error
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PlaceError(f"{path}: cannot be opened: {reason}") from error


def _copy(file: StreamedFile, folder: Path) -> Path:
    """Copy a file into a folder, below folders of the same names as those that it lies in."""
    file.check()
    path = folder.joinpath(*file.path.parts[1:][-_FOLDERS:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as copy:
            n_bytes = 0
            while n_bytes < file.size:
                data = file.read_at(n_bytes, file.size - n_bytes)
                copy.write(data)
                n_bytes += len(data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PlaceError(
            f"{file.path}: cannot be copied to {folder}: {reason}; TMPDIR names another folder"
        ) from error
    return path
