"""Metrics by the parsers of Prometheus, and a sign of life: what they tell, and to whom."""

import gzip
import re
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S
from lives import stream
from pages import PASSWORD, Browser, make_context
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from serving import Serving
from test_imports import modules_after

from streamclf.core.errors import UsageError
from streamclf.core.records import Average, Block, EventBegan, Gap, Scores, StreamStarted
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions
from streamclf.runs.figures import LinesFigures, ProcessFigures, Pulse
from streamclf.runs.serve.options import ServedOptions
from streamclf.runs.serve.plan import ServePlan, StreamPlan, WritingOptions
from streamclf.runs.tally import Delays, SourceTally
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions
from streamclf.store.figures import FolderFigures, StoreFigures
from streamclf.web.context import WebContext
from streamclf.web.exposition import expose
from streamclf.web.health_texts import CAUSES
from streamclf.web.hub import LiveHub
from streamclf.web.options import PageOptions
from streamclf.web.server import WebServer

METRICS_PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "metrics.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TOKEN = "0123456789abcdef0123456789abcdef"
CONVENTION = {
    "streamclf_events": ("counter", {"source", "label"}),
    "streamclf_audio_seconds": ("counter", {"source"}),
    "streamclf_audio_lost_seconds": ("counter", {"source", "cause"}),
    "streamclf_sound_to_result_seconds": ("histogram", {"source"}),
    "streamclf_hop_seconds": ("gauge", {"source"}),
    "streamclf_level_dbfs": ("gauge", {"source"}),
    "streamclf_build_info": ("gauge", {"version", "model"}),
}


@pytest.fixture
def store(tmp_path):
    return tmp_path / "box.db"


@pytest.fixture
def plan_of(tone_model, store):
    def make(**sources):
        plans = [
            StreamPlan(
                ServedOptions(name=name), SourceOptions(device=device),
                ModelOptions(str(tone_model), provider="cpu"), Settings(), ThresholdOptions(),
                outputs,
            )
            for name, (device, outputs) in sources.items()
        ]  # fmt: skip
        return ServePlan(tuple(plans), WritingOptions(store))

    return make


@pytest.fixture
def serve():
    with ExitStack() as stack:

        def start(plan):
            serving = Serving(plan)
            stack.callback(lambda: serving.code is None and serving.end())
            return serving

        yield start


def context_of(serving, store, hub=None):
    return WebContext(
        store, PageOptions(port=0), None, hub, serving.server.describe_health,
        figures=serving.server.figures, is_alive=lambda: True,
    )  # fmt: skip


def read(context, accept=""):
    """The value of each series, by its name and labels."""
    body, content_type = expose(context, accept)
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    found = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def series(name, **labels):
    return (f"streamclf_{name}", *sorted(labels.items()))


def only_grow(before, after):
    """Check that nothing that counts has fallen."""
    ends = ("_total", "_count", "_sum", "_bucket")
    counting = {key for key in before if key[0].endswith(ends) and key in after}
    assert counting
    assert {key: (before[key], after[key]) for key in counting if after[key] < before[key]} == {}


def test_counters_go_on_whatever_becomes_of_a_source(serve, plan_of, store, tmp_path):
    plain, more = OutputOptions(), OutputOptions(files=(tmp_path / "more.jsonl",))
    clips = OutputOptions(clips=tmp_path / "clips")
    serving = serve(plan_of(yard=("a", clips), hall=("h", plain)))
    context = context_of(serving, store)
    yard, hall = serving.source("yard"), serving.source("hall")
    steps = [read(context)]
    yard.feed(np.concatenate([toys.tone(1000, 4), toys.silence(4)]))
    yard.drain()
    steps.append(read(context))
    assert steps[-1][series("audio_seconds_total", source="yard")] == 8
    assert steps[-1][series("events_total", source="yard", label="middle")] == 1
    assert steps[-1][series("events_total", source="hall", label="middle")] == 0

    yard.fail(OSError("the cable"))  # tried again, with a gap
    again = serving.source("yard", 1)
    again.feed(toys.silence(2))
    again.drain()
    steps.append(read(context))
    serving.reload(plan_of(yard=("a", more), hall=("h", plain)))  # another run, no gap
    again.feed(toys.silence(2))
    again.drain()
    steps.append(read(context))
    serving.reload(plan_of(yard=("another", more), hall=("h", plain)))  # closed, and opened anew
    anew = serving.source("yard", 2)
    anew.feed(np.concatenate([toys.tone(1000, 4), toys.silence(4)]))
    anew.drain()
    steps.append(read(context))
    serving.reload(plan_of(hall=("h", plain)))
    assert anew.closed.wait(PATIENCE_S)
    assert series("audio_seconds_total", source="yard") not in read(context)
    serving.reload(plan_of(hall=("h", plain), yard=("another", plain)))
    back = serving.source("yard", 3)
    back.feed(toys.silence(1))
    back.drain()
    steps.append(read(context))
    for before, after in pairwise(steps):
        only_grow(before, after)

    last = steps[-1]
    assert last[series("audio_seconds_total", source="yard")] == 8 + 2 + 2 + 8 + 1
    assert last[series("events_total", source="yard", label="middle")] == 2
    written, lost = (
        last[series(f"clips_{name}_total", source="yard")] for name in ("written", "lost")
    )
    assert written + lost == 3  # one of a tone, two of silence
    assert last[series("source_up", source="yard")] == 1
    assert last[series("store_up")] == 1
    assert last[series("store_rows_written_total")] > 0
    health = {each["name"]: each for each in context.health()["sources"]}
    assert health["yard"]["heard_s"] == 21  # the page says the same
    hall.end()
    back.end()
    assert serving.join() == 0


def test_a_gap_counts_by_its_cause_and_an_unknown_cause_as_another(serve, plan_of, store):
    serving = serve(plan_of(yard=("a", OutputOptions())))
    yard = serving.source("yard")
    yard.feed(toys.silence(2))
    yard.drain()
    statistics = serving.server.streams["yard"]._engine.statistics
    statistics.add_gap("device lost", 0, 2 * toys.RATE)
    statistics.add_gap("a new kind of trouble", 0, toys.RATE)
    found = read(context_of(serving, store))
    causes = {dict(key[1:])["cause"] for key in found if "lost_seconds" in key[0]}
    assert causes == {*CAUSES, "other"}
    lost = {cause: found[series("audio_lost_seconds_total", source="yard", cause=cause)]
            for cause in causes}  # fmt: skip
    assert {cause: seconds for cause, seconds in lost.items() if seconds} == {
        "device lost": 2, "other": 1,
    }  # fmt: skip
    assert found[series("gaps_total", source="yard", cause="other")] == 1


@pytest.fixture
def figured(serve, plan_of, store, tmp_path):
    """What is told of a process whose names and outputs are odd."""
    odd = 'a "yard"\\gate'
    serving = serve(plan_of(**{odd: ("a", OutputOptions(clips=tmp_path / "clips"))}))
    source = serving.source(odd)
    source.feed(toys.tone(1000, 2))
    source.drain()
    hub = LiveHub()
    sink = hub.sink(odd)
    sink.begin(stream())
    sink.hear(Block(0, toys.tone(1000, 1)[np.newaxis], toys.RATE))
    folder = FolderFigures(Path("cl\udce9ps"), 1000, 5000, {"age": 2})
    now = serving.server.figures()
    sources = [replace(now.sources[0], counts={**now.sources[0].counts, "features_kept": 4})]
    figures = replace(
        now,
        sources=sources,
        lines=[LinesFigures("events.jsonl", 10, 2), LinesFigures("standard output", 0, 0)],
        store=StoreFigures(10, 2, 1, 3, is_written=False, folders=[folder]),
    )
    told = {
        "rules": {"n_rules": 1, "n_told": 4, "n_lost": 0, "n_unnoted": 0},
        "targets": [
            {
                "name": "phone", "kind": "webhook", "where": "https://ntfy.example/hunter2",
                "state": "failing", "trouble": "it answers 500", "waiting": 2, "n_sent": 1,
                "n_failed": 1, "n_lost": 0, "last_sent": None,
            }
        ],
    }  # fmt: skip
    health = serving.server.describe_health
    context = context_of(serving, store, hub)
    return replace(context, figures=lambda: figures, health=lambda: health() | told)


def test_names_types_and_labels_are_those_of_the_convention(figured):
    body, content_type = expose(figured, "")
    assert content_type.startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in parse_text(body.decode())}
    for name, (kind, labels) in CONVENTION.items():
        family = families[name]
        assert family.type == kind
        own = {key for sample in family.samples for key in sample.labels} - {"le"}
        assert own == labels, name
    for name, family in families.items():
        assert name.startswith(("streamclf_", "process_"))
        assert family.documentation
        assert family.samples, f"{name} has no series"
    assert "streamclf_audio_lost_seconds_total{" in body.decode()
    found = read(figured)
    assert set(found) == set(read(figured, OPENMETRICS))
    (folder,) = {dict(key[1:])["folder"] for key in found if "folder" in dict(key[1:])}
    assert folder == "cl\\udce9ps"
    assert found[series("store_up")] == 0
    assert found[series("messages_total")] == 4
    assert found[series("target_messages_waiting", target="phone", kind="webhook")] == 2
    assert found[series("target_up", target="phone", kind="webhook")] == 0
    assert "hunter2" not in body.decode()
    (level,) = [value for key, value in found.items() if key[0] == "streamclf_level_dbfs"]
    assert -20 < level < 1


def test_openmetrics_is_answered_to_whoever_prefers_it(figured):
    for accept in (OPENMETRICS, f"{OPENMETRICS},text/plain;q=0.5"):
        body, content_type = expose(figured, accept)
        assert content_type.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        assert {"streamclf_build", "streamclf_events"} <= {
            family.name for family in parse_openmetrics(body.decode())
        }


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
def test_promtool_has_nothing_to_say(figured):
    body, _ = expose(figured, "")
    run = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")


def test_the_page_about_metrics_names_those_that_there_are(figured):
    named = set(re.findall(r"streamclf_\w+", METRICS_PAGE.read_text(encoding="utf-8")))
    body, _ = expose(figured, "")
    told = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in parse_text(body.decode())
        if family.name.startswith("streamclf_")
    }
    assert named == told


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
def test_prometheus_takes_the_settings_of_the_page_about_metrics(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", METRICS_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for at, block in enumerate(blocks):
        (tmp_path / f"{at}.yml").write_text(block)
        what = ["rules"] if block.startswith("groups:") else ["config", "--syntax-only"]
        run = subprocess.run(
            ["promtool", "check", *what, tmp_path / f"{at}.yml"], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_no_series_holds_a_secret(serve, tone_model, store):
    source = SourceOptions(source="rtsp://user:hunter2@gate.example/cam")
    plan = StreamPlan(
        ServedOptions(), source, ModelOptions(str(tone_model), provider="cpu"), Settings(),
        ThresholdOptions(), OutputOptions(),
    )  # fmt: skip
    serving = serve(ServePlan((plan,), WritingOptions(store)))
    serving.source(plan.name).feed(toys.silence(1))
    body, _ = expose(context_of(serving, store), "")
    assert b"gate.example/cam" in body
    assert b"hunter2" not in body


# How long it takes.


def test_delays_are_counted_from_the_sound_to_its_result():
    began = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
    tally, clock = SourceTally(), [began.timestamp()]
    sink = tally.sink(lambda: clock[0])
    stream = StreamStarted("device", 100, ["dog"], "multi-label", started=began, live=True)
    values = np.zeros(1, np.float32)
    scores = Average(Scores(0, 100, values), values)
    sink.write(scores)  # of a stream that has not begun
    sink.begin(stream)
    clock[0] += 1.04
    sink.write(scores)
    clock[0] += 0.46
    sink.write(EventBegan("dog", 50, 0.9, 100))
    clock[0] -= 3600  # the system's clock is set
    sink.write(scores)
    clock[0] += 9.78  # and the microphone is away for so long
    sink.write(scores)
    sink.write(EventBegan("dog", 50, 0.9, 100))
    sink.write(Gap(100, 900, 100, "device lost"))
    sink.begin(replace(stream, live=False))
    sink.write(scores)
    sink.close()
    counts, sum_s = tally.audio_to_scores.read()
    assert sum(counts) == 2
    assert (counts[0], counts[2]) == (1, 1)  # 0 s, and 0.04 s
    assert sum_s == pytest.approx(0.04)
    counts, sum_s = tally.sound_to_result.read()
    assert [*counts] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]  # 1 s, the bound of the fifth
    assert sum_s == pytest.approx(1.0)


def test_a_delay_beyond_all_bounds_is_counted():
    delays = Delays((1.0, 2.0))
    for delay_s in (0.5, 1.0, 1.5, 99.0):
        delays.add(delay_s)
    assert delays.read() == ((2, 1, 1), 102.0)


def test_a_pulse_ends_when_no_sign_of_life_comes():
    now = [0.0]
    pulse = Pulse(120.0, lambda: now[0])
    now[0] += timedelta(minutes=1).total_seconds()
    assert pulse.is_alive
    pulse.beat()
    now[0] += 119
    assert pulse.is_alive
    now[0] += 1
    assert not pulse.is_alive


# Who may ask.


@pytest.fixture
def open_page(tmp_path):
    with ExitStack() as stack:

        def start(*, password=None, alive=True, token=None, **options):
            if token is not None:
                (tmp_path / "token").write_text(f"{token}\n")
                options["metrics_token_file"] = tmp_path / "token"
            context = make_context(tmp_path, password=password, **options)
            context = replace(context, is_alive=lambda: alive, figures=ProcessFigures)
            return Browser(stack.enter_context(WebServer(context)), Accept="*/*")

        yield start


def bearer(token, scheme="Bearer"):
    return {"Authorization": f"{scheme} {token}"}


def test_a_token_reads_the_metrics_and_nothing_else(open_page, tmp_path):
    browser = open_page(password=PASSWORD, token=TOKEN)
    refused = browser.ask("/metrics")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert "--metrics-token-file" in refused.text
    browser.cookies.clear()
    answer = browser.ask("/metrics", **bearer(TOKEN))
    assert answer.status == 200
    assert "streamclf_build_info" in answer.text
    assert not browser.set_cookies
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert browser.ask("/metrics", **bearer(TOKEN, "bearer")).status == 200
    for wrong in (bearer("f" * 32), bearer(""), bearer(TOKEN, "Basic"), bearer(f"{TOKEN}0")):
        assert browser.ask("/metrics", **wrong).status == 401
    for path in ("/", "/api/health", "/metrics/", "/static/live.js", "/events"):
        assert browser.ask(path, **bearer(TOKEN)).status == 401, path
    assert browser.ask("/metrics", "POST", b"", **bearer(TOKEN)).status in (401, 403, 405)
    assert browser.ask("/metrics", Host="evil.example", **bearer(TOKEN)).status == 403
    (tmp_path / "token").write_text(TOKEN[::-1])  # a new one counts at once
    assert browser.ask("/metrics", **bearer(TOKEN)).status == 401
    assert browser.ask("/metrics", **bearer(TOKEN[::-1])).status == 200
    (tmp_path / "token").unlink()
    assert browser.ask("/metrics", **bearer(TOKEN)).status == 503
    for _ in range(10):  # wrong tokens lock nobody out
        browser.ask("/metrics", **bearer("0" * 32))
    assert browser.log_in().status == 303
    assert browser.ask("/metrics").status == 200  # who is logged in needs no token


def test_without_a_password_this_machine_reads_the_metrics(open_page):
    browser = open_page()
    assert browser.ask("/metrics").status == 200
    assert browser.ask("/metrics", **bearer("f" * 32)).status == 200
    assert browser.ask("/metrics", Host="evil.example").status == 403
    assert browser.ask("/metrics", Origin="http://evil.example").status == 403
    assert browser.ask("/metrics", X_Forwarded_For="10.0.0.7").status == 403
    packed = browser.ask("/metrics", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b"streamclf_build_info" in gzip.decompress(packed.body)


@pytest.mark.parametrize(
    "text", ["", "short", "two words of more than thirty-two letters", "é" * 40, "a" * 2000]
)
def test_a_token_that_is_none_is_refused_at_the_start(open_page, text):
    with pytest.raises(UsageError, match="must hold one word of 32 to 1024"):
        open_page(password=PASSWORD, token=text)


def test_a_token_that_is_no_file_is_refused_at_the_start(open_page, tmp_path):
    with pytest.raises(UsageError, match=r"--metrics-token-file .*: is no file"):
        open_page(metrics_token_file=tmp_path)


def test_a_token_that_is_not_there_is_refused_at_the_start(open_page, tmp_path):
    with pytest.raises(UsageError, match=r"--metrics-token-file .*: cannot be read: no such file"):
        open_page(metrics_token_file=tmp_path / "none")


@pytest.mark.parametrize("password", [None, PASSWORD])
@pytest.mark.parametrize("alive", [True, False])
def test_a_sign_of_life_needs_no_login_and_tells_nothing(open_page, password, alive):
    browser = open_page(password=password, alive=alive)
    answer = browser.ask("/healthz")
    assert (answer.status, answer.text) == ((200, "alive\n") if alive else (503, "not alive\n"))
    assert not browser.set_cookies
    assert browser.ask("/healthz", Host="evil.example").status == 403
    assert browser.ask("/healthz", "HEAD").status == answer.status


def test_a_page_that_nobody_measures_loads_no_client():
    assert "prometheus_client" not in modules_after("import streamclf.web.server")
