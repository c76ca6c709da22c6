"""Tables ``[[sources]]`` in `streamclf.toml`: one for each source of `streamclf serve`."""

from __future__ import annotations

from collections.abc import Collection

from streamclf.cli.config_file import ConfigFile, describe_unknown
from streamclf.cli.tables import RawTable, Table, find_key, find_tables
from streamclf.core.errors import UsageError

SOURCES = "sources"
FOR_ALL = (
    "store", "format", "updates", "top", "append", "overwrite", "rotate",
    "port", "host", "base_path", "proxy", "public_url",
    "log_format", "log_level", "quiet",
)  # fmt: skip
"""Keys that hold for the whole process, with ``_``."""
OF_A_SOURCE = ("source", "device", "name")
"""Keys that choose a single source, and cannot hold for several."""
LISTING = "streamclf serve --help"
"""What lists the options of `serve`."""


def read_source_tables(file: ConfigFile, known: Collection[str]) -> list[Table]:
    """Read the tables of a file; there may be none. A URL is by the key ``source``.

    Args:
        file: The file, whose other keys hold for all sources.
        known: Keys of options, with ``_``.

    Raises:
        UsageError: A table has an unknown key, or one that holds for all sources. Names file and
            line.
    """
    found = find_tables(file, SOURCES)
    if not found:
        return []
    for key in OF_A_SOURCE:
        if key in file.values:
            shown = _shown(key)
            raise UsageError(
                f"{file.place(key)}: {shown} stands beside [[{SOURCES}]]: put it into a table, "
                "below a line of its own [[sources]]"
            )
    return [_read_table(file, table, known) for table in found]


def settings_of(file: ConfigFile, table: Table | None) -> ConfigFile:
    """The settings of one source: those of its table, and of the file where it says nothing.

    A key above the tables holds for the sources that it makes sense for: ``loop`` for simulated
    microphones, ``rotate`` where there are outputs.

    Args:
        file: The file.
        table: The table; None for what holds for all.
    """
    own = table.values if table is not None else {}
    values = {**file.values, **own}
    source = values.get("source")
    simulated = isinstance(source, str) and source.startswith("sim:")
    fits = {
        "speed": simulated,
        "loop": simulated,
        "no_reconnect": not simulated,
        "append": bool(values.get("output")),
        "rotate": bool(values.get("output")),
        **dict.fromkeys(("clips_limit", "clips_days", "clips_min"), "clips" in values),
    }
    if table is None:
        fits |= dict.fromkeys(("speed", "loop"), False)
    kept = {key: value for key, value in values.items() if key in own or fits.get(key, True)}
    lines = {**file.lines, **(table.lines if table is not None else {})}
    return ConfigFile(
        file.path, kept, lines, file.text, file.others, None if table is None else table.line
    )


def _read_table(file: ConfigFile, raw: RawTable, known: Collection[str]) -> Table:
    table = Table(f"[[{SOURCES}]]", file.path, raw.first, {}, {})
    allowed = [name for name in known if name not in FOR_ALL]
    for key, value in raw.said.items():
        line = find_key(file.text, key, raw)
        where = f"{file.path}:{line}"
        name = key.replace("-", "_")
        if name == "source":
            raise UsageError(f"{where}: source is called url in [[{SOURCES}]]: write url")
        if name in FOR_ALL:
            raise UsageError(
                f"{where}: {key} holds for all sources: put it above the first [[{SOURCES}]]"
            )
        name = "source" if name == "url" else name
        if name not in allowed:
            raise UsageError(f"{where}: {describe_unknown(key, [*map(_shown, allowed)], LISTING)}")
        if name in table.values:
            raise UsageError(f"{where}: {key} is said already in line {table.lines[name]}")
        table.values[name], table.lines[name] = value, line
    return table


def _shown(name: str) -> str:
    return "url" if name == "source" else name.replace("_", "-")
