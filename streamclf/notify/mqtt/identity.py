"""Who the box and its sources are to Home Assistant, whatever they are called now.

The identity stands in a file beside the store. It holds what was announced as well, so that it can
be taken back after a restart. Neither a password nor a URL stands in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from streamclf.notify.mqtt.names import slug, unused

ENDING = "-mqtt.json"
MOST_REMEMBERED = 5000
"""Most components that are remembered as announced."""
_BOX = re.compile(r"[0-9a-f]{8}")


@dataclass
class KnownSource:
    """A source as it was last seen.

    Attributes:
        name: Its name.
        opens: Digest of what it opens.
    """

    name: str
    opens: str


@dataclass
class Identity:
    """Identity of a box.

    Attributes:
        box: Identifier of the box, drawn once.
        sources: Sources by their identifiers; those that are gone as well.
        announced: Platform of each component that Home Assistant was ever told of.
    """

    box: str
    sources: dict[str, KnownSource] = field(default_factory=dict)
    announced: dict[str, str] = field(default_factory=dict)

    def assign(self, present: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Find or make the identifiers of the sources that there are.

        A source is known by its name, or else by what it opens: so it stays itself when it is
        renamed, and when its address changes, but not when both change at once.

        Args:
            present: Name of each source, and what it opens.

        Returns:
            The identifiers by name.
        """
        wanted = {name: _digest(opens) for name, opens in present}
        found: dict[str, str] = {}
        for id, known in self.sources.items():
            if known.name in wanted and known.name not in found:
                found[known.name] = id
        for name, opens in wanted.items():
            if name not in found:
                found[name] = self._find_renamed(opens, found.values()) or self._new_id(name)
            self.sources[found[name]] = KnownSource(name, opens)
        return found

    def _find_renamed(self, opens: str, taken: Collection[str]) -> str | None:
        return next(
            (id for id, known in self.sources.items() if known.opens == opens and id not in taken),
            None,
        )

    def _new_id(self, name: str) -> str:
        return unused(slug(name, "source"), self.sources)

    def note_announced(self, components: dict[str, str]) -> None:
        """Note components that Home Assistant is told of, the oldest of too many forgotten."""
        self.announced |= components
        for id in list(self.announced)[: max(len(self.announced) - MOST_REMEMBERED, 0)]:
            del self.announced[id]


def identity_file(store: Path) -> Path:
    """Path of the identity of a store's box."""
    real = store.resolve()
    return real.with_name(f"{real.name}{ENDING}")


def load_identity(file: Path, report: Callable[[str], None]) -> Identity:
    """Read the identity, or make one.

    Args:
        file: The file; nothing is written.
        report: Called with a line where the file is there and makes no sense.
    """
    try:
        return _parse(json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = (getattr(error, "strerror", None) or "it makes no sense").lower()
        report(
            f"warning: {file}: cannot be read: {reason}: Home Assistant will show a new device; "
            "delete the old one there"
        )
    return Identity(secrets.token_hex(4))


def save_identity(identity: Identity, file: Path) -> None:
    """Write the identity, in whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps({"version": 1, **asdict(identity)}, indent=1) + "\n", "utf-8")
    new.replace(file)


def _parse(said: Any) -> Identity:
    box = said["box"]
    if not _BOX.fullmatch(box):
        raise ValueError(box)
    sources = {
        id: KnownSource(str(known["name"]), str(known["opens"]))
        for id, known in said["sources"].items()
    }
    return Identity(box, sources, {str(k): str(v) for k, v in said["announced"].items()})


def _digest(opens: str) -> str:
    return hashlib.sha256(opens.encode()).hexdigest()[:16]
