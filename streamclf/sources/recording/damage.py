"""What a decoder could not decode: how much, and how much audio that was."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamclf.sources.containers.part import NEGLIGIBLE_S

_BARE = frozenset(["mp3", "aac", "ac3", "eac3", "dts"])
"""Formats of frames without a container: time stamps count frames, whatever lies between them."""
_SKIPPING = frozenset(["aac"])
"""Formats of which FFmpeg passes over what is no frame, and counts positions without it."""
_KNOWN_PACKETS = 200
"""Number of packets by which the bytes a second are known."""


class Damage:
    """Record of packets that could not be decoded, and of the end of reading.

    Args:
        container: FFmpeg's name of the format.
        path: The file, where it may be opened by its name; empty for others.

    Attributes:
        n_packets: Number of packets that could not be decoded.
        seconds: Length of their audio; None where a packet does not state its length.
        end: Reason why reading failed; empty if it reached the end.
        is_stopped: Whether reading was stopped on request.
    """

    def __init__(self, container: str = "", path: str = "") -> None:
        self.n_packets = 0
        self.seconds: float | None = 0.0
        self.end = ""
        self.is_stopped = False
        self._is_bare = container in _BARE
        self._good: deque[tuple[int, float]] = deque(maxlen=_KNOWN_PACKETS)
        self._tag_end = 0
        self._path = path if container in _SKIPPING else ""
        self._ahead: int | None = None
        self._is_behind_damage = False

    def __str__(self) -> str:
        return "1 damaged packet" if self.n_packets == 1 else f"{self.n_packets} damaged packets"

    @property
    def is_audible(self) -> bool:
        """Whether the audio that could not be decoded is too long to be ignored."""
        return self.seconds is None or self.seconds >= NEGLIGIBLE_S

    def without_tag(self, packet: Any) -> Any:
        """Return what of a packet is no tag between bare frames, such as that of a joined MP3.

        Returns:
            The packet, or another of its bytes behind the tag; None where there are none.
        """
        if not self._is_bare or packet.pos is None or not packet.size:
            return packet
        n_tag = max(self._tag_end - packet.pos, 0)
        data = memoryview(packet)
        while n_tag < packet.size and (n_bytes := _tag_bytes(bytes(data[n_tag : n_tag + 16]))):
            n_tag += n_bytes
        if not n_tag:
            return packet
        self._tag_end = packet.pos + n_tag
        return _cut(packet, n_tag) if n_tag < packet.size else None

    def add(self, packet: Any) -> float:
        """Count a packet that could not be decoded.

        Returns:
            Seconds of audio that its bytes may have been, beyond the length that it states.
        """
        self.n_packets += 1
        self._is_behind_damage = True
        length_s = _length_s(packet)
        if not length_s or self.seconds is None:
            self.seconds = None
            return 0.0
        self.seconds += length_s
        # FFmpeg counts all bytes before the next good frame as one packet of one frame.
        return max(float(packet.size) * self._seconds_per_byte - length_s, 0.0)

    def add_good(self, packet: Any) -> float:
        """Note a packet that was decoded.

        Returns:
            Seconds of audio that the bytes may have been that FFmpeg passed over before it.
        """
        if not self._is_bare:
            return 0.0
        self._good.append((packet.size, _length_s(packet)))
        if not self._path or not (self._is_behind_damage or self._ahead is None):
            return 0.0
        self._is_behind_damage = False
        expected = packet.pos + (self._ahead or 0)
        n_bytes = _find(self._path, bytes(packet), expected) - expected
        is_first, self._ahead = self._ahead is None, (self._ahead or 0) + n_bytes
        return 0.0 if is_first else n_bytes * self._seconds_per_byte

    @property
    def _seconds_per_byte(self) -> float:
        """Seconds of audio in a byte of the newest packets."""
        n_bytes = sum(size for size, _ in self._good)
        return sum(seconds for _, seconds in self._good) / n_bytes if n_bytes else 0.0


def _length_s(packet: Any) -> float:
    return float((packet.duration or 0) * packet.time_base)


def _cut(packet: Any, n_bytes: int) -> Any:
    """Return a packet without its first bytes."""
    import av

    rest = av.Packet(bytes(packet)[n_bytes:])
    rest.stream, rest.time_base, rest.duration = packet.stream, packet.time_base, packet.duration
    rest.pts, rest.dts = packet.pts, packet.dts
    return rest


def _find(path: str, data: bytes, start: int) -> int:
    """Return the byte of a file at which ``data`` is next; ``start`` where it is not found."""
    with suppress(OSError), Path(path).open("rb") as file:
        file.seek(start)
        at, held = start, b""
        while chunk := file.read(1 << 20):
            held += chunk
            found = held.find(data)
            if found >= 0:
                return at + found
            at += len(held) - len(data)
            held = held[-len(data) :]
    return start


def _tag_bytes(head: bytes) -> int:
    """Return the size of the tag that begins with these bytes; 0 where they begin none."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) == 16:
        return 32 + int.from_bytes(head[12:16], "little")
    return 128 if head[:3] == b"TAG" else 0
