"""How the process fares, in words that everyone in the house understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

from streamclf.core.text_format import format_bytes, format_count, format_length

Json: TypeAlias = Mapping[str, Any]
Fact: TypeAlias = tuple[str, str, str]
"""Key, name and text of a fact."""

_WHY = {
    "overflow": "the computer did not take the sound in time",
    "overload": "the computer was too slow",
    "paused": "somebody paused it",
    "source lost": "the microphone or stream was away",
    "device lost": "the microphone was away",
    "stalled": "the microphone delivered nothing for a while",
    "device changed": "another microphone was chosen",
    "connection lost": "the connection was away",
    "missing in the stream": "the stream left it out",
    "left out": "it was left out",
    "truncated": "the recording is cut short",
    "damaged": "its data is damaged",
}
CAUSES = tuple(_WHY)
"""Causes of lost audio that are known."""
STATE_WORDS = {
    "heard": "listening",
    "silent": "no signal",
    "waiting": "waiting for sound",
    "paused": "paused",
    "late": "no sound arrives",
    "lost": "lost, tried again and again",
    "ended": "ended",
    "failed": "failed",
}
"""What a page says of the state of a source."""
TARGET_WORDS = {"fine": "fine", "failing": "fails"}
"""What a page says of the state of a target."""
KIND_WORDS = {"exec": "a command", "apprise": "by apprise", "webhook": "a webhook", "mqtt": "MQTT"}
"""What a page says of the kind of a target."""
LEAST_DRIFT_S = 0.1
"""Seconds a day from which on a clock counts as fast or slow."""
LEAST_ROOM_BYTES = 500_000_000
"""Room on a disk from which on downwards a warning is shown."""


def explain_cause(cause: str) -> str:
    """Say in plain words why audio was lost; a cause of which nothing is known is said itself."""
    return _WHY.get(cause, cause)


def _format_size(n_bytes: float | None) -> str:
    return "unknown" if n_bytes is None else format_bytes(n_bytes)


def format_span(seconds: float) -> str:
    """Write a long time for people: ``4 s``, ``12 min``, ``3 h 05 min``, ``12 days 3 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{format_count(days, 'day')} {hours} h"


def process_facts(health: Json) -> list[Fact]:
    """Facts of the whole process."""
    store = health.get("store") or {}
    facts = [
        ("uptime", "Listening for", format_span(health.get("uptime_s", 0.0))),
        ("since", "Since", _moment(health.get("started"))),
        ("free", "Room on the disk", _format_size(store.get("disk_free_bytes"))),
        ("size", "Remembered", _format_size(store.get("bytes"))),
        ("cpu", "Processor", f"{_percent(health.get('cpu_percent', 0.0))} of a core"),
        ("version", "Version", str(health.get("version", "unknown"))),
    ]
    return facts if store else [fact for fact in facts if fact[0] not in ("free", "size")]


def tell_kept(store: Json) -> str:
    """Tell how much is kept to search and to teach by, and since when; empty if nothing is."""
    size, since = store.get("features_bytes"), store.get("features_since")
    if size is None:
        return ""
    day = date.fromisoformat(since) if since else None
    when = f", since {day.day} {day:%B}" if day else ""
    return f"Beside it, {format_bytes(size)} are kept to search and to teach by{when}."


def source_facts(source: Json) -> list[Fact]:
    """Facts of one source."""
    work = f"every {source['hop_s']:g} s, busy for {_percent(100 * source['load'])} of the time"
    return [
        ("heard", "Heard", format_span(source["heard_s"])),
        ("events", "Sounds found", f"{source['n_events']:,}"),
        ("lost", "Lost", describe_lost(source)),
        ("model", "Model", f"{source['model']} {source['model_version']}".strip()),
        ("work", "Asks its model", work),
        ("drift", "Its clock", _describe_drift(source["drift_ppm"])),
    ]


def target_facts(target: Json) -> list[Fact]:
    """Facts of one target, to which messages go."""
    failed, lost = target["n_failed"], target["n_lost"]
    gone = [f"{failed:,} given up"] if failed else []
    gone += [f"{lost:,} lost because too many waited"] if lost else []
    sent = f"{target['n_sent']:,}" if target["n_sent"] else "none so far"
    if target["last_sent"] is not None:
        sent += f", the last on {_moment(target['last_sent'])}"
    return [
        (
            "where",
            "Goes to",
            f"{target['where']} ({KIND_WORDS.get(target['kind'], target['kind'])})",
        ),
        ("sent", "Delivered", sent),
        ("waiting", "Waiting", f"{target['waiting']:,}"),
        ("failed", "Not delivered", ", ".join(gone) or "none"),
        ("trouble", "Trouble", target["trouble"] or "none"),
    ]


def target_title(target: Json) -> str:
    """Name a target as the title of its panel."""
    return "Broker" if target["kind"] == "mqtt" else f"Messages to {target['name']}"


def describe_lost(source: Json) -> str:
    """Say how much audio was lost, and why."""
    if not source["n_gaps"]:
        return "nothing" if source["heard_s"] else "it was never heard yet"
    causes = sorted(source["lost"].items(), key=lambda pair: -pair[1])
    if len(causes) == 1:
        why = explain_cause(causes[0][0])
    else:
        why = ", ".join(f"{explain_cause(cause)} ({format_length(s)})" for cause, s in causes)
    return f"{format_length(source['lost_s'])} in {format_count(source['n_gaps'], 'gap')}: {why}"


def troubles(health: Json) -> Iterator[str]:
    """Say what somebody should look after."""
    yield from source_troubles(health)
    yield from process_troubles(health)


def source_troubles(health: Json) -> Iterator[str]:
    """Say which sources somebody should look after."""
    for source in health.get("sources", ()):
        name = source["name"]
        if source["state"] == "lost":
            yield f"{name} is lost: nothing is heard of it. It is tried again and again."
        elif source["state"] == "silent":
            since = _moment(source["silent_since"])
            yield (
                f"{name} has had no signal since {since}: only digital silence comes from it. Is "
                "it muted, or unplugged?"
            )
        elif source["state"] == "failed":
            yield f"{name} has failed, and is not tried again."
        if source["overload"]:
            yield (
                f"The computer is too slow for {name}: it looks every {source['hop_s']:g} s "
                f"instead of every {source['requested_hop_s']:g} s."
            )
        if source["n_unwritten"]:
            yield f"{format_count(source['n_unwritten'], 'result')} of {name} could not be written."


def process_troubles(health: Json) -> Iterator[str]:
    """Say what somebody should look after beside the sources: messages, what is kept, the disk."""
    for target in health.get("targets", ()):
        waiting = target["waiting"]
        name = "The broker" if target["kind"] == "mqtt" else target["name"]
        if target["state"] == "failing" and waiting:
            trouble = target["trouble"]
            stop = "" if trouble.endswith((".", "?", "!")) else "."
            verb = "waits and is" if waiting == 1 else "wait and are"
            yield (
                f"{name} takes no messages: {trouble}{stop} "
                f"{format_count(waiting, 'message')} {verb} tried again."
            )
        if target["n_lost"]:
            n_lost = format_count(target["n_lost"], "message")
            where = name[:1].lower() + name[1:] if target["kind"] == "mqtt" else name
            was = "was" if target["n_lost"] == 1 else "were"
            yield f"{n_lost} to {where} {was} lost: too many waited."
    if left_out := (health.get("rules") or {}).get("n_lost", 0):
        was = "was" if left_out == 1 else "were"
        yield f"The rules could not keep up: {left_out:,} of what was heard {was} left out."
    if lost := health.get("features_lost", 0):
        was = "was" if lost == 1 else "were"
        yield (
            f"What is kept to search could not be written: {format_count(lost, 'half second')} "
            f"{was} lost."
        )
    free = (health.get("store") or {}).get("disk_free_bytes")
    if free is not None and free < LEAST_ROOM_BYTES:
        yield f"The disk is nearly full: {format_bytes(free)} are left."


def verdict(health: Json) -> str:
    """Say in one sentence how it is."""
    sources = health.get("sources", ())
    if not sources:
        return "Nothing is heard by this process."
    heard = sum(source["state"] == "heard" for source in sources)
    lost_s = sum(source["lost_s"] for source in sources)
    lost = f"{format_length(lost_s)} of sound were lost" if lost_s else "nothing was lost"
    if heard < len(sources):
        # What is being lost at this moment is counted once it is over.
        who = _describe_few(heard, len(sources))
        return f"{who}." if not lost_s else f"{who}, and {lost} since the start so far."
    who = "The source is" if heard == 1 else f"All {heard} sources are"
    return f"{who} heard, and {lost} since the start."


def _describe_few(heard: int, total: int) -> str:
    """Say that not all sources are heard."""
    if not heard:
        return "The source is not heard" if total == 1 else f"None of the {total} sources is heard"
    return f"{heard} of {total} sources {'is' if heard == 1 else 'are'} heard"


def health_texts(health: Json) -> dict[str, Any]:
    """All texts of the page by their keys, so that a page can replace those that have changed."""
    texts = {f"process/{key}": text for key, _, text in process_facts(health)}
    for source in health.get("sources", ()):
        name = source["name"]
        texts[f"{name}/state"] = STATE_WORDS[source["state"]]
        texts |= {f"{name}/{key}": text for key, _, text in source_facts(source)}
    for target in health.get("targets", ()):
        name = f"target {target['name']}"
        texts[f"{name}/state"] = TARGET_WORDS[target["state"]]
        texts |= {f"{name}/{key}": text for key, _, text in target_facts(target)}
    return {
        "verdict": verdict(health),
        "troubles": list(troubles(health)),
        "states": {source["name"]: source["state"] for source in health.get("sources", ())},
        "targets": {target["name"]: target["state"] for target in health.get("targets", ())},
        "texts": texts,
        "time": f"{datetime.now().astimezone():%H:%M:%S}",
    }


def _moment(started: str | None) -> str:
    if started is None:
        return "unknown"
    moment = datetime.fromisoformat(started)
    return f"{moment.day} {moment:%b}, {moment:%H:%M}"


def _describe_drift(ppm: float | None) -> str:
    if ppm is None:
        return "not known yet"
    seconds = abs(ppm) * 86_400 / 1e6
    if seconds < LEAST_DRIFT_S:
        return "right"
    return f"{seconds:.1f} s a day {'fast' if ppm > 0 else 'slow'} ({abs(ppm):.0f} ppm)"


def _percent(share: float) -> str:
    return f"{share:.1f} %"
