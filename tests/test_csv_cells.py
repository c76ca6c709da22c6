"""Cells of CSV: no text is a formula, and each text is read again as it was."""

import csv
import io
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import Heard, Run, make_store

from streamclf.core.records import SoundEvent, StreamStarted
from streamclf.core.redaction import one_line
from streamclf.sinks.csv_cells import csv_line, plain_cell, safe_cell
from streamclf.sinks.factory import open_sink
from streamclf.sinks.shared_tables import SharedTable

FORMULA = '=HYPERLINK("http://evil.example";"dog")'


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        (FORMULA, f"'{FORMULA}"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-2+3+cmd|' /C calc'!D2", "'-2+3+cmd|' /C calc'!D2"),
        ("@door", "'@door"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("'=1", "''=1"),  # else it would be read as =1
        ("'til dawn", "'til dawn"),
        ("door, wood knock", "door, wood knock"),
        ("a=b", "a=b"),
        # What streamclf itself writes: offsets from UTC, values, standard input.
        ("+02:00", "+02:00"),
        ("-1.5e-05", "-1.5e-05"),
        ("-inf", "-inf"),
        ("-", "-"),
    ],
)
def test_what_a_spreadsheet_would_compute_becomes_a_text(text, cell):
    assert safe_cell(text) == cell
    assert plain_cell(cell) == text


@given(st.text(st.sampled_from("'=+-@\uff1da1:. \t\n"), max_size=6))
def test_each_text_comes_back(text):
    (row,) = csv.reader([csv_line([text, 1.5])])
    assert plain_cell(row[0]) == one_line(text)


def test_sources_and_labels_are_no_formulas_in_a_table(tmp_path):
    table = tmp_path / "all.csv"
    with closing(open_sink(table)) as sink:
        sink.begin(StreamStarted("=1.wav", 16_000, ["@door"], "single-label"))
        sink.write(SoundEvent("@door", 0, 16_000, 0.9))
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [(row["source"], row["label"]) for row in rows] == [("'=1.wav", "'@door")]
    assert [rows.source for rows in SharedTable(table)._ranges] == [
        "=1.wav"
    ]  # as --resume reads it


def test_heard_writes_no_formulas(streamclf, tmp_path):
    store = make_store(tmp_path / "box.db", [Run("-yard", None, 60, [Heard(FORMULA, 5)])])
    for question in ([], ["--by", "label"]):
        out = streamclf("heard", "--store", store, *question, "--format", "csv").out
        (row,) = csv.DictReader(io.StringIO(out))
        assert row["label"] == f"'{FORMULA}"
        assert row.get("source", "'-yard") == "'-yard"
