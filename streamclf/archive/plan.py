"""The plan of an archive: list it once, open each header, cut it into items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from streamclf import __version__
from streamclf.archive.cuts import Cut, can_cut, plan_cuts
from streamclf.archive.manifest import Item, Manifest, Plan, PlannedRecording, make_manifest
from streamclf.archive.many import call_for_each
from streamclf.archive.place import FoundFile, Place
from streamclf.core.clip_tags import HEAD_BYTES, can_be_clip, is_clip_head
from streamclf.core.errors import PlaceError, RecordingError, UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count
from streamclf.sources.containers.streamed_file import StreamedFile
from streamclf.sources.recording.recording import Recording

SHORTEST_ITEM_MINUTES = 1.0
LONGEST_ITEM_MINUTES = 7 * 24 * 60.0


@dataclass
class Planned:
    """A plan that was made and is not yet written.

    Attributes:
        manifest: The manifest.
        files: Its files by name, in the order in which they are put.
        notes: What was left out on purpose, one line each.
    """

    manifest: Manifest
    files: dict[str, bytes]
    notes: list[str] = field(default_factory=list)


def make_plan(
    archive: Place,
    item_minutes: float,
    on_headers: Callable[[int, int], None] = lambda n_done, n_files: None,
) -> Planned:
    """List an archive, open each header, and cut it into items.

    Args:
        archive: The archive.
        item_minutes: Length of an item at most, but for a recording that cannot be cut.
        on_headers: Called with the number of headers opened, and of all, at each.

    Raises:
        UsageError: The length of items is out of range.
        PlaceError: The archive cannot be listed, or none of its recordings can be opened.
    """
    check_item_minutes(item_minutes)
    listing = archive.list_recordings()
    headers: list[_Header] = []
    on_headers(0, len(listing.files))
    read = call_for_each(
        lambda each: _read_header(archive, each), listing.files, archive.max_requests
    )
    for n_read, header in enumerate(read, 1):
        if header is not None:
            headers.append(header)
        on_headers(n_read, len(listing.files))
    if n_clips := len(listing.files) - len(headers):
        clips = format_count(n_clips, "clip")
        listing.notes.append(f"{archive}: {clips} that streamclf cut from recordings left out")
    recordings = [
        replace(header.recording, recording=number) for number, header in enumerate(headers)
    ]
    if recordings and all(each.why for each in recordings):
        first = recordings[0]
        raise PlaceError(
            f"{archive}: none of its {len(recordings)} recordings can be opened; "
            f"the first: {first.path}: {first.why}"
        )
    cuts = {n: header.cut for n, header in enumerate(headers) if isinstance(header.cut, Cut)}
    plan = Plan(
        root=archive.url,
        id="",
        item_minutes=item_minutes,
        recordings=0,
        unopened=0,
        items=0,
        seconds=0.0,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
    )
    manifest, files = make_manifest(plan, recordings, _cut(recordings, cuts, 60 * item_minutes))
    return Planned(manifest, files, listing.notes)


def check_item_minutes(item_minutes: float) -> None:
    """Check the length of items.

    Raises:
        UsageError: It is out of range.
    """
    if not SHORTEST_ITEM_MINUTES <= item_minutes <= LONGEST_ITEM_MINUTES:
        raise UsageError(
            f"--item-minutes {item_minutes:g}: must be {SHORTEST_ITEM_MINUTES:g} to "
            f"{LONGEST_ITEM_MINUTES:g} minutes (120 is usual)"
        )


@dataclass(frozen=True, slots=True)
class _Header:
    """What the header of a recording says, and by what it may be cut."""

    recording: PlannedRecording
    cut: Cut | str


def _read_header(archive: Place, found: FoundFile) -> _Header | None:
    """Open a recording; None for a clip that streamclf wrote, of a remote place."""
    if found.why:
        return _Header(
            PlannedRecording(
                0, found.path, found.bytes, found.mark, site=_site(found.path), why=found.why
            ),
            "",
        )
    try:
        found = archive.complete(found)
    except PlaceError as error:
        why = without_name(str(error), found.path)
        return _Header(PlannedRecording(0, found.path, 0, site=_site(found.path), why=why), "")
    planned = PlannedRecording(0, found.path, found.bytes, found.mark, site=_site(found.path))
    try:
        file = archive.open_file(found.path, found.bytes)
        if isinstance(file, StreamedFile) and _is_streamed_clip(file):
            return None
        with Recording(file, found.path) as recording:
            seconds, rate = recording.promised_s or 0.0, recording.sample_rate
            cut = can_cut(recording)
            planned = replace(
                planned,
                rate=rate,
                channels=recording.n_channels,
                seconds=round(seconds, 6),
                samples=cut.n_samples if isinstance(cut, Cut) else round(seconds * rate),
                **_when(recording.started),
            )
    except (RecordingError, PlaceError, OSError) as error:
        why = without_name(str(error), found.path)
        return _Header(replace(planned, why=why or type(error).__name__), "")
    return _Header(planned, cut)


def _is_streamed_clip(file: StreamedFile) -> bool:
    """Whether a streamed file is a clip that streamclf wrote."""
    return can_be_clip(file.path) and is_clip_head(file.path, file.open().read(HEAD_BYTES))


def without_name(message: str, path: str) -> str:
    """Return what is wrong without the name of the recording, which stands beside it."""
    for name in (path, one_line(path)):
        _, found, reason = message.partition(f"{name}: ")
        if found:
            return reason
    return message


def _when(started: datetime | None) -> dict[str, Any]:
    """Columns of the time of the first sample."""
    if started is None:
        return {}
    offset = started.utcoffset()
    utc = started.astimezone(UTC) if offset is not None else started.replace(tzinfo=UTC)
    return {
        "started": round(utc.timestamp() * 1000),
        "utc_offset": None if offset is None else round(offset.total_seconds() / 60),
        "date": started.date().isoformat(),
    }


def _site(path: str) -> str:
    first, _, rest = path.partition("/")
    return first if rest else ""


def _cut(
    recordings: Sequence[PlannedRecording], cuts: dict[int, Cut], item_s: float
) -> Iterator[Item]:
    """Cut recordings into items: runs of short ones of a site and date, and pieces of long ones."""
    groups: dict[tuple[str, str], list[PlannedRecording]] = {}
    for recording in recordings:
        if not recording.why:
            groups.setdefault((recording.site, recording.date), []).append(recording)
    number = 0
    for _, group in sorted(groups.items()):
        for item in _cut_group(group, cuts, item_s):
            yield replace(item, number=number)
            number += 1


def _cut_group(
    group: Sequence[PlannedRecording], cuts: dict[int, Cut], item_s: float
) -> Iterator[Item]:
    run: list[PlannedRecording] = []
    for recording in group:
        cut = cuts.get(recording.recording)
        edges = plan_cuts(cut, item_s) if cut is not None else []
        if len(edges) > 1:
            yield from _pieces(recording, edges)
            continue
        # Nobody knows how long a recording without a stated length is: it stands alone.
        if run and (not recording.seconds or _length(run) + recording.seconds > item_s):
            yield _whole(run)
            run = []
        run.append(recording)
        if not recording.seconds:
            yield _whole(run)
            run = []
    if run:
        yield _whole(run)


def _length(run: Sequence[PlannedRecording]) -> float:
    return sum(each.seconds for each in run)


def _whole(run: Sequence[PlannedRecording]) -> Item:
    return Item(0, "whole", tuple(run), seconds=round(_length(run), 6))


def _pieces(recording: PlannedRecording, edges: Sequence[tuple[int, int]]) -> Iterator[Item]:
    for piece, (begin, end) in enumerate(edges):
        yield Item(
            0,
            "piece",
            (recording,),
            begin,
            end,
            piece,
            len(edges),
            round((end - begin) / recording.rate, 6),
        )
