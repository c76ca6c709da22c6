"""The pages that the code writes are current, and its schemas are true of what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import toys
from documents import load_reference

import streamclf as library
from streamclf.sinks import json_records

ROOT = Path(__file__).parents[1]
SCHEMAS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in (ROOT / "docs" / "reference" / "schema").glob("*.json")
}


@pytest.fixture(scope="module")
def reference():
    """The script, as a module."""
    return load_reference()


def test_pages_that_the_code_writes_are_current(reference):
    made = reference.pages()
    stale = [path.relative_to(ROOT).as_posix() for path in reference.stale(made)]
    assert stale == [], "run: python scripts/reference.py"


def test_stale_pages_are_named_and_written(reference, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "DOCS", tmp_path / "docs")
    old = tmp_path / "docs" / "reference" / "schema" / "gone.json"
    old.parent.mkdir(parents=True)
    old.touch()
    assert reference.main(["--check"]) == 1
    assert old.exists()
    assert "docs/models/pocket.md: not current" in capsys.readouterr().out.replace("\\", "/")
    assert reference.main([]) == 0
    assert not old.exists()
    assert reference.main(["--check"]) == 0


def test_every_option_stands_on_the_page_of_the_command_line(reference, streamclf):
    page = reference.command_line()
    for command in ("listen", "file", "verify"):
        section = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
        for line in streamclf(command, "--help").out.splitlines():
            if line.startswith("  -"):
                option = line.split(", ")[-1].split()[0]
                assert option in section or option == "--help", (command, option)


def test_every_public_name_stands_on_the_page_of_names(reference):
    by_heading = load_reference("reference_pages.names").NAMES
    listed = [name for names in by_heading.values() for name in names.split()]
    assert sorted(listed) == sorted(set(library.__all__) - {"__version__"})


def test_every_type_of_line_has_a_schema():
    assert len(SCHEMAS) == len(json_records.LINES) + 1  # and that of a message
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["properties"]["schema"] == {
            "description": "Version of the form of these lines.",
            "const": json_records.SCHEMA,
        }
        assert schema["required"][:2] == ["type", "schema"]


def check(lines: list[dict]) -> set[str]:
    """Hold lines against their schemas, which name every field; returns the types."""
    for line in lines:
        assert list(line)[:2] == ["type", "schema"]
        jsonschema.validate(line, {**SCHEMAS[line["type"]], "additionalProperties": False})
    return {line["type"] for line in lines}


def test_lines_of_a_live_run_have_the_form_of_their_schemas(streamclf):
    source = f"sim:{ROOT / 'examples' / 'afternoon.flac'}?unplug=13,2"
    live = streamclf(
        "listen", "--no-ui", "--speed", "0", "--source", source, "--updates", "--ongoing", "1"
    )
    assert check(live.lines) == {"begin", "ongoing", "event", "gap", "update"}
    assert any("time" in line for line in live.lines)


def test_lines_of_recordings_have_the_form_of_their_schemas(streamclf, write_wav, tmp_path):
    example = ROOT / "examples" / "afternoon.flac"
    short = write_wav(toys.tone(440, 0.3), "short.wav")
    table = tmp_path / "all.jsonl"
    streamclf("file", example, short, "-o", table, "--resume", "--begins", "--unknown")
    found = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    assert check(found) >= {"begin", "event", "heard"}
    answers = streamclf("file", example, short, "--summary", "--format", "jsonl").lines
    assert check(answers) == {"summary"}
    assert [line.get("short", False) for line in answers] == [False, True]


@pytest.mark.parametrize("n_values", [1, 2])
def test_lines_of_regressions_have_the_form_of_their_schemas(n_values, tmp_path):
    from datetime import datetime

    from streamclf.core.records import Average, Scores, StreamStarted
    from streamclf.core.stats import Statistics
    from streamclf.sinks.jsonl import JsonLinesSink
    from streamclf.sinks.lines import UNFINISHED, PrintedLines

    written: list[str] = []
    sink = JsonLinesSink(PrintedLines(written.append), marks=[UNFINISHED])
    labels = ["near", "far"][:n_values]
    sink.begin(StreamStarted("m.wav", 8000, labels, "regression", datetime(2026, 6, 1, 4, 30)))
    values = np.array([0.25, 0.5][:n_values], np.float32)
    answer = Average(Scores(8000, 4000, values, short=True), values)
    sink.write(answer)
    sink.summarise(answer)
    sink.end(Statistics(8000, 16000), whole=False)
    lines = [json.loads(line) for line in written]
    assert check(lines) == {"value", "summary", "unfinished"}
    assert ("values" in lines[0]) == (n_values == 2)


def test_a_line_about_lost_ones_has_the_form_of_its_schema():
    from streamclf.sinks.jsonl import JsonLinesSink
    from streamclf.sinks.lines import PrintedLines

    lines = PrintedLines(print)
    JsonLinesSink(lines)
    assert lines.describe_loss is not None
    assert check([json.loads(lines.describe_loss(3))]) == {"loss"}


def test_readers_may_take_the_types_of_the_lines():
    """msgspec reads what it wrote, and skips fields that are new to it."""
    import msgspec

    line = b'{"type":"gap","schema":1,"source":"a","onset":1,"offset":2,"cause":"lost","new":1}'
    read = msgspec.json.decode(line, type=json_records.GapLine | json_records.EventLine)
    assert read == json_records.GapLine(source="a", onset=1.0, offset=2.0, cause="lost")
