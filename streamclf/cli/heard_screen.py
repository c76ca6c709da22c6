"""The screen of `heard`: a table, what it is about, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

from streamclf.cli.text_table import Column, Look, format_table
from streamclf.core.redaction import one_line
from streamclf.core.sureness import SURENESS_WIDTH, tell_sureness
from streamclf.core.text_format import format_count, format_length
from streamclf.store.display_names import read_display_names
from streamclf.store.listing import list_open
from streamclf.store.names import list_sources, shorten_names
from streamclf.store.queries import (
    By,
    Count,
    Value,
    count_untimed,
    hours_heard,
    list_missing,
    measure_extent,
)
from streamclf.store.question import Database, Question
from streamclf.store.rates import Rate, list_rates
from streamclf.store.sureness import join_sureness_limits

MOST_DAYS = 1000
"""Days between two others that get a row, though nothing was heard on them."""
N_SOUNDING = 5
"""Most events that still sound and are named."""


def describe(
    connection: Database, question: Question, by: Sequence[By], look: Look | None = None
) -> list[str]:
    """Answer a question in lines for people.

    Args:
        connection: The store.
        question: The question.
        by: What is counted apart; by default labels.
        look: How the lines may look; by default as standard output asks for.
    """
    look = look or Look.of_output()
    groups = by or ("label",)
    rates = list_rates(connection, question, groups)
    n_events = sum(rate.count.n_events for rate in rates)
    lines = [look.paint(_title(question, rates), "1")]
    lines.append(_describe_heard(connection, question, n_events))
    if rates:
        lines += ["", *_table(connection, rates, groups, plain=not by, look=look)]
    notes = [
        *_describe_states(connection, question, rates, look),
        *_left_out(connection, question, rates, groups),
    ]
    if not n_events:
        notes += _ways_out(connection, question)
    return [*lines, *([""] if notes else []), *notes]


def _title(question: Question, rates: Sequence[Rate]) -> str:
    moments = [m for rate in rates for m in (rate.count.first, rate.count.last) if m is not None]
    if question.has_range or not moments:
        return describe_range(question)
    first, last = min(moments).date(), max(moments).date()
    of = f"on {_day(first)}" if first == last else f"from {_day(first)} to {_day(last)}"
    return f"{describe_range(question)}, {of}"


def describe_range(question: Question) -> str:
    """Write a question's time for people."""
    since, until = question.since, question.until
    today = datetime.now().astimezone().date()
    if since is None and until is None:
        return "All that was heard"
    if since is None:
        assert until is not None
        return f"Until {_describe_end(until)}"
    whole = since.time() == datetime.min.time()
    if until is None and since.date() == today and whole:
        return f"Today, {since:%A} {_day(today)}"
    if until is None:
        return f"Since {_describe_begin(since)}"
    if whole and _last_day(until) == since.date():
        return f"{since:%A} {_day(since)}"
    begin, end = _describe_begin(since), _describe_end(until)
    year = f" {since.year}"
    return f"{begin.replace(year, '') if year in end else begin} to {end}"


def _describe_begin(moment: datetime) -> str:
    whole = moment.time() == datetime.min.time()
    return f"{moment:%a} {_day(moment)}" + ("" if whole else f", {moment:%H:%M}")


def _describe_end(moment: datetime) -> str:
    day = _last_day(moment)
    return f"{day:%a} {_day(day)}" if day else _describe_begin(moment)


def _last_day(until: datetime) -> date | None:
    """The last whole day before a midnight; None if it is none."""
    if until.time() != datetime.min.time():
        return None
    return until.date() - timedelta(days=1)


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def _describe_heard(connection: Database, question: Question, n_events: int) -> str:
    heard = hours_heard(connection, question, ["source"])
    missing_s = sum(each.seconds for each in list_missing(connection, question))
    hours = sum(heard.values())
    if not hours and not n_events:
        return "No event, and nothing listened"
    if not hours:
        return f"{format_count(n_events, 'event')}; how long was listened is not known"
    of = format_count(len(heard), "source")
    lost = f"; {format_length(missing_s)} missing" if missing_s >= 0.05 else ""
    return f"{format_count(n_events, 'event')} in {_length(hours)} of audio from {of}{lost}"


def _describe_quiet(connection: Database) -> str:
    """Say whether a store without events has none because nothing listened."""
    heard = hours_heard(connection, Question(), ["source"])
    if not heard:
        return "The store holds no event yet: listen or file with --store, and serve, write them"
    length, of = _length(sum(heard.values())), format_count(len(heard), "source")
    return (
        f"The store holds no event: nothing was told in {length} of audio from {of}; a lower "
        "--threshold tells more"
    )


def _length(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 100 else format_length(hours * 3600)


def _table(
    connection: Database,
    rates: list[Rate],
    by: Sequence[By],
    *,
    plain: bool,
    look: Look,
) -> list[str]:
    rates = _arrange(rates, by)
    counts = [rate.count for rate in rates]
    columns = list(_group_columns(connection, rates, by))
    columns.append(Column("events", [str(each.n_events) for each in counts], right=True))
    if not plain:
        columns.append(Column("per hour", [_rate(rate) for rate in rates], right=True))
    if "label" not in by:
        columns.append(Column("hours", [_hours(rate) for rate in rates], right=True))
    minutes = [f"{each.sounding_s / 60:.1f}" if each.n_events else "" for each in counts]
    columns.append(Column("minutes", minutes, right=True))
    if not {"day", "hour"} & set(by):
        moments = [moment for each in counts for moment in (each.first, each.last) if moment]
        form = _form_of(moments, plain=plain)
        for title, cells in [
            ("first", [each.first for each in counts]),
            ("last", [each.last for each in counts]),
        ]:
            columns.append(
                Column(title, [f"{moment:{form}}" if moment else "" for moment in cells])
            )
    columns.append(_surest(connection, counts, by))
    return format_table(columns, _parts(rates), look)


def _surest(connection: Database, counts: Sequence[Count], by: Sequence[By]) -> Column:
    """Make the column of the highest scores, after words for how sure they are."""
    limits = join_sureness_limits(connection) if "label" in by else {}
    scores = [f"{each.highest_score:.2f}" if each.n_events else "" for each in counts]
    words = [
        tell_sureness(limits, str(each.key[by.index("label")]), each.highest_score)
        if limits and each.n_events
        else None
        for each in counts
    ]
    if not any(words):  # scores of several labels together, or of a model that has no words
        return Column("highest", scores, right=True)
    cells = [
        f"{word or '':<{SURENESS_WIDTH}} {score}" for word, score in zip(words, scores, strict=True)
    ]
    return Column("surest", cells)


def _arrange(rates: list[Rate], by: Sequence[By]) -> list[Rate]:
    """Put the most frequent labels first, and give each hour or day between others its row."""
    if by[-1] == "label":
        return [
            rate
            for _, group in groupby(rates, lambda rate: rate.count.key[:-1])
            for rate in sorted(group, key=lambda rate: -rate.count.n_events)
        ]
    keys: list[Value] = [rate.count.key[0] for rate in rates]
    every: Iterable[Value] = ()
    if tuple(by) == ("hour",):
        every = range(24)
    elif tuple(by) == ("day",) and len(keys) > 1:
        first, last = keys[0], keys[-1]
        assert isinstance(first, date)
        assert isinstance(last, date)
        if (last - first).days <= MOST_DAYS:
            every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    there = dict(zip(keys, rates, strict=False))
    filled = [there.get(key) or Rate(Count((key,), 0, 0.0, None, None, 0.0), 0.0) for key in every]
    return filled or rates


def _form_of(moments: Sequence[datetime], *, plain: bool) -> str:
    """Form of the times in a table, which has no room for a date with a time beside its rates."""
    if len({moment.date() for moment in moments}) == 1:
        return "%H:%M"
    if len({moment.year for moment in moments}) > 1:
        return "%Y-%m-%d"
    return "%d %b %H:%M" if plain else "%d %b"


def _group_columns(connection: Database, rates: list[Rate], by: Sequence[By]) -> Iterator[Column]:
    """Make the columns of the groups; what is the same as in the row above is left out."""
    shown: dict[By, dict[str, str]] = {}
    if "source" in by:
        shown["source"] = shorten_names(each.name for each in list_sources(connection))
    if "label" in by:
        shown["label"] = read_display_names(connection)
    above: tuple[Value, ...] = ()
    cells: list[list[str]] = [[] for _ in by]
    for rate in rates:
        key = rate.count.key
        for place, value in enumerate(key):
            same = place < len(key) - 1 and key[: place + 1] == above[: place + 1]
            cells[place].append("" if same else _name(value, by[place], shown.get(by[place], {})))
        above = key
    for each, texts in zip(by, cells, strict=True):
        yield Column(each, texts)


def _name(value: Value, kind: By, shown: dict[str, str]) -> str:
    if kind == "hour":
        return f"{value:02}:00"
    if isinstance(value, date):
        return f"{value:%a %Y-%m-%d}"
    return shown.get(str(value), str(value))


def _hours(rate: Rate) -> str:
    """Hours heard; a dash where nothing was."""
    if not rate.heard_h:
        return "-"
    return f"{rate.heard_h:.{1 if rate.heard_h >= 1 else 2}f}"


def _rate(rate: Rate) -> str:
    if rate.per_hour is None:
        return "-"
    digits = 0 if rate.per_hour >= 100 else 1 if rate.per_hour >= 10 else 2
    return f"{rate.per_hour:.{digits}f}" if rate.count.n_events else "0"


def _parts(rates: list[Rate]) -> list[float | None]:
    """Lengths of the bars: by rates where all that was heard has one, else by numbers."""
    known = all(rate.per_hour is not None for rate in rates if rate.count.n_events)
    values = [rate.per_hour if known else float(rate.count.n_events) for rate in rates]
    most = max((value or 0 for value in values), default=0) or 1
    return [None if value is None else value / most for value in values]


def _describe_states(
    connection: Database, question: Question, rates: list[Rate], look: Look
) -> Iterator[str]:
    """Name what still sounds, and count what was cut off."""
    if any(rate.count.n_open for rate in rates):
        sounding, shown = list_open(connection, question), read_display_names(connection)
        named = [
            f"{one_line(shown.get(each.label, each.label))} ({one_line(each.source)}"
            + (f", since {each.time:%H:%M:%S})" if each.time else ")")
            for each in sounding[:N_SOUNDING]
        ]
        rest = len(sounding) - N_SOUNDING
        more = [f"{rest} more"] if rest > 0 else []
        yield look.paint(f"Still sounding: {', '.join(named + more)}", "32")
    n_cut = sum(rate.count.n_cut for rate in rates)
    if n_cut:
        runs = "its run" if n_cut == 1 else "their runs"
        yield f"{format_count(n_cut, 'event')} cut off: {runs} ended without warning"


def _left_out(
    connection: Database, question: Question, rates: list[Rate], by: Sequence[By]
) -> Iterator[str]:
    if question.has_range or {"day", "hour"} & set(by):
        if n_events := count_untimed(connection, question):
            has = "has" if n_events == 1 else "have"
            yield (
                f"{format_count(n_events, 'event')} {has} no time (recordings without a date): "
                "--by label counts them"
            )
    elif n_events := sum(rate.count.n_untimed for rate in rates):
        has = "has" if n_events == 1 else "have"
        yield (
            f"{format_count(n_events, 'event')} among them {has} no time (recordings without a "
            "date)"
        )


def _ways_out(connection: Database, question: Question) -> Iterator[str]:
    """Say what to ask, or do, where the answer is empty."""
    extent = measure_extent(connection)
    if not extent.n_events:
        yield _describe_quiet(connection)
        return
    if extent.first is None or extent.last is None:
        yield f"The store holds {format_count(extent.n_events, 'event')} without a time: --by label"
        return
    first, last = extent.first.date(), extent.last.date()
    span = f"on {first}" if first == last else f"from {first} to {last}"
    ask = f"--since {first} asks for all" if question.has_range else "ask for less"
    yield f"The store holds {format_count(extent.n_events, 'event')} {span}: {ask}"
