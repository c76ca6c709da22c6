"""Whatever comes in, only streamclf's own errors come out, a line each; windows depend on nothing.

The numbers of examples bound the time; ``STREAMCLF_FUZZ=20`` makes them twenty times as many.
"""

import json
import os
import re

import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.card import Card, Thresholds, format_card, parse_card
from streamclf.core.errors import CardError, StreamclfError, UsageError
from streamclf.core.labels import read_labels
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds, read_thresholds

MORE = int(os.environ.get("STREAMCLF_FUZZ", "1"))

LABELS = ["dog", "rain"]
GOOD = {"name": "x", "labels": LABELS, "sample_rate": 16_000, "window_samples": 24_000}

numbers = st.one_of(
    st.integers(), st.integers(-(10**30), 10**30), st.floats(), st.sampled_from([0, 1, -1, 2**63])
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)
thresholds = st.fixed_dictionaries(
    {},
    optional={name: st.one_of(numbers, values) for name in ("on", "off", "min_duration", "max_gap")}
    | {
        "classes": st.dictionaries(
            st.sampled_from(["dog", "rain", "cat"]),
            st.one_of(values, st.fixed_dictionaries({}, optional={"on": numbers, "off": numbers})),
            max_size=3,
        )
    },
)
stems = st.fixed_dictionaries(
    {"tensor": st.text(max_size=5), "stride": numbers, "frames": numbers},
    optional={"step": numbers, "base": st.text(max_size=5), "receptive_field": numbers},
)


def error_of(kind: type[StreamclfError], work) -> str:
    """The message of an error of this kind; empty where all was well."""
    try:
        work()
    except kind as error:
        message = str(error)
    else:
        return ""
    assert message
    assert "\n" not in message
    return message


@settings(max_examples=200 * MORE, deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from(Card.__struct_fields__), values, max_size=3),
    thresholds=st.one_of(st.none(), thresholds),
    stem=st.one_of(st.none(), stems),
)
def test_a_card_is_read_or_refused_in_a_line(changes, thresholds, stem):
    fields = {**GOOD, **changes}
    if thresholds is not None:
        fields["thresholds"] = thresholds
    if stem is not None:
        fields["stem"] = stem
    text = json.dumps(fields)
    message = error_of(CardError, lambda: parse_card(text, "m.onnx"))
    if not message:
        card = parse_card(text, "m.onnx")
        assert parse_card(format_card(card), "m.onnx") == card
        assert all(0 <= t.off <= t.on <= 1 for t in map(card.thresholds.of, card.labels))


@settings(max_examples=200 * MORE, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), st.builds(json.dumps, values)))
def test_any_text_as_a_card_is_refused_in_a_line(text):
    assert error_of(CardError, lambda: parse_card(text, "m.onnx"))


toml_values = st.one_of(
    numbers.map(str),
    st.sampled_from(["inf", "-inf", "nan", "true", "1e400", "1979-05-27", "07:32:00", "''", "[]"]),
    st.integers(1, 6000).map(lambda n: "9" * n),
    st.text(max_size=12).map(lambda text: json.dumps(text)),
    st.lists(numbers.map(str), max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    st.dictionaries(st.sampled_from(["on", "off", "x"]), numbers.map(str), max_size=3).map(
        lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
    ),
)
toml_keys = st.sampled_from(
    ["on", "off", "min_duration", "max_gap", "classes", "dog", "'rain'", "cat", "x", "classes.dog"]
)
toml_lines = st.one_of(
    st.tuples(toml_keys, toml_values).map(" = ".join),
    st.sampled_from(["[classes]", "[classes.dog]", "[[classes]]", "[x]", "#"]),
    st.text(max_size=12),
)


@settings(max_examples=300 * MORE, deadline=None)
@given(content=st.one_of(
    st.lists(toml_lines, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    st.binary(max_size=100),
))  # fmt: skip
def test_a_threshold_file_is_read_or_refused_in_a_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "thresholds.toml"
    path.write_bytes(content)
    base = Thresholds(0.6, 0.4)
    message = error_of(UsageError, lambda: read_thresholds(path, base, LABELS))
    if message:
        assert re.match(rf"--thresholds {re.escape(str(path))}(:\d+)?: ", message)
    else:
        found = read_thresholds(path, base, LABELS)
        assert all(0 <= t.off <= t.on <= 1 for t in map(found.of, LABELS))
        assert found.min_duration >= 0


@settings(max_examples=100 * MORE, deadline=None)
@given(
    threshold=st.one_of(st.none(), st.floats()),
    shortest=st.floats(),
    gap=st.floats(),
    precision=st.one_of(st.none(), st.floats()),
)
def test_threshold_options_are_taken_or_refused_in_a_line(threshold, shortest, gap, precision):
    card = toys.toy_card(precisions={"0.5": Thresholds(), "0.9": Thresholds(0.8, 0.7)})
    error_of(
        UsageError,
        lambda: choose_thresholds(
            card,
            ThresholdOptions(threshold, precision, min_duration_s=shortest, max_gap_s=gap),
        ),
    )


@settings(max_examples=200 * MORE, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=120), st.text(max_size=120).map(lambda t: t.encode("utf-8", "replace"))
    ),
    header=st.sampled_from([b"", b"label,x\n", b'"name"\n', b"a,b,display_name\n", b"name,name\n"]),
    ending=st.sampled_from([".csv", ".txt"]),
)  # fmt: skip
def test_a_label_file_is_read_or_refused_in_a_line(tmp_path_factory, content, header, ending):
    path = tmp_path_factory.getbasetemp() / f"labels{ending}"
    path.write_bytes(header + content)
    if not error_of(CardError, lambda: read_labels(path)):
        assert all(isinstance(label, str) for label in read_labels(path))


def test_files_of_settings_have_limits(tmp_path):
    path = tmp_path / "large.csv"
    path.write_bytes(b"name\n" + b"x" * 5_000_000)
    assert "has more than 4000000 bytes" in error_of(CardError, lambda: read_labels(path))
    path.write_bytes(b'name\n"' + b"x" * 200_000 + b'"')
    assert "the label file is no CSV: field larger" in error_of(
        CardError, lambda: read_labels(path)
    )
    path.write_bytes(b"on = 0.5\n" + b"#" * 5_000_000)
    assert "has more than 4000000 bytes" in error_of(
        UsageError, lambda: read_thresholds(path, Thresholds(), LABELS)
    )
