"""apprise as a target, with its JSON service on loopback."""

import base64
import builtins
import contextvars
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S
from webhooks import Webhook, answer, make_message

from streamclf.core.errors import UsageError
from streamclf.notify.targets.base import DeliveryError
from streamclf.notify.targets.factory import open_target
from streamclf.notify.targets.options import TargetOptions

pytest.importorskip("apprise")


@pytest.fixture
def hook():
    with Webhook() as webhook:
        yield webhook


def target(hook: Webhook, parameters: str = "", **options: object):
    url = f"json://127.0.0.1:{hook.port}/{parameters}"
    return open_target(TargetOptions("phone", apprise=url, **options))


def refused(opened, clip=None) -> str:
    with pytest.raises(DeliveryError) as caught:
        opened.send(make_message(), clip)
    assert not caught.value.lasting  # apprise does not tell one trouble from another
    return str(caught.value)


def test_text_title_and_kind_arrive(hook):
    opened = target(hook)
    assert (opened.description, opened.takes_clips) == ("JSON", True)
    opened.send(make_message(text="Smoke *alarm* $(now) in <kitchen>\n2"), None)
    opened.send(make_message(on="end"), None)
    begin, end = hook.next().json, hook.next().json
    assert begin["title"] == "Smoke alarm in kitchen"
    assert begin["message"] == "Smoke *alarm* $(now) in <kitchen>\n2"
    assert (begin["type"], end["type"]) == ("warning", "info")
    assert begin["attachments"] == []


def test_clip_or_picture_goes_along(hook, write_wav):
    clip = write_wav(toys.tone(1000, 1), "clip.flac")
    target(hook).send(make_message(on="end"), clip)
    target(hook, attach="picture").send(make_message(on="end"), clip)
    target(hook, attach="none").send(make_message(on="end"), clip)
    (audio,), (picture,), nothing = [hook.next().json["attachments"] for _ in range(3)]
    assert base64.b64decode(audio["base64"]) == clip.read_bytes()
    assert picture["filename"] == "clip.png"
    assert base64.b64decode(picture["base64"]).startswith(b"\x89PNG")
    assert nothing == []
    assert not target(hook, attach="none").takes_clips


def test_a_clip_that_has_gone_or_is_damaged_stops_no_message(hook, tmp_path, write_wav):
    (tmp_path / "damaged.flac").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    target(hook, attach="picture").send(make_message(on="end"), tmp_path / "damaged.flac")
    assert hook.next().json["attachments"] == []


def test_several_urls_may_stand_in_a_file(hook, tmp_path):
    with Webhook() as other:
        (tmp_path / "urls").write_text(
            f"# both\njson://127.0.0.1:{hook.port}/\n\njson://127.0.0.1:{other.port}/\n"
        )
        opened = open_target(TargetOptions("phone", apprise_file=tmp_path / "urls"))
        opened.send(make_message(), None)
        assert hook.next().json["message"] == other.next().json["message"]


def test_a_service_that_has_the_message_does_not_get_it_again(hook, tmp_path):
    with Webhook(answer("500 Oops"), answer("500 Oops")) as broken:
        (tmp_path / "urls").write_text(
            f"json://127.0.0.1:{broken.port}/\njson://127.0.0.1:{hook.port}/\n"
        )
        opened = open_target(TargetOptions("phone", apprise_file=tmp_path / "urls"))
        assert refused(opened).startswith("JSON: ")
        assert refused(opened).count("JSON") == 2  # its name, and in apprise's own words
        opened.send(make_message(), None)
        assert (len(broken.requests), len(hook.requests)) == (3, 1)
        opened.send(make_message(2), None)
        assert (len(broken.requests), len(hook.requests)) == (4, 2)


def test_a_service_that_hangs_keeps_no_message_from_the_others(hook, tmp_path):
    with Webhook() as hanging:
        hanging.answer(hanging.hang)
        (tmp_path / "urls").write_text(
            f"json://127.0.0.1:{hanging.port}/?rto=60\njson://127.0.0.1:{hook.port}/\n"
        )
        opened = open_target(TargetOptions("phone", apprise_file=tmp_path / "urls", timeout=5.0))
        assert refused(opened) == "JSON: no answer within 5 s"
        assert refused(opened) == "JSON: the try before still hangs"
        assert len(hook.requests) == 1


def test_a_late_answer_counts(hook):
    asked, go_on = threading.Event(), threading.Event()

    def answer_late(connection):
        asked.set()
        go_on.wait(PATIENCE_S)
        connection.sendall(answer())

    hook.answer(answer_late)
    opened = target(hook, "?rto=60&cto=60", timeout=0.3)
    assert refused(opened) == "no answer within 0.3 s"
    assert asked.wait(PATIENCE_S)
    go_on.set()
    (late,) = [each for each in threading.enumerate() if each.name == "streamclf-apprise"]
    late.join(PATIENCE_S)
    opened.send(make_message(), None)
    assert len(hook.requests) == 1


@pytest.mark.parametrize(
    ("is_own", "told"), [(True, "words of a try"), (False, "the service did not take it")]
)
def test_words_of_another_try_are_not_taken_for_its_own(hook, monkeypatch, is_own, told):
    def fail(services, **given):
        context = contextvars.copy_context() if is_own else contextvars.Context()
        say = logging.getLogger("apprise").warning
        with ThreadPoolExecutor(1) as pool:
            pool.submit(context.run, say, "words of a try").result()
        return False

    monkeypatch.setattr("apprise.Apprise.notify", fail)
    assert refused(target(hook)) == told


def test_parts_of_a_url_are_masked_wherever_they_stand(hook, monkeypatch):
    def fail(services, **given):
        raise RuntimeError("at 127.0.0.1: url: /botSECRETPATH/send as SECRETUSER, SECRET WORD")

    monkeypatch.setattr("apprise.Apprise.notify", fail)
    url = f"json://SECRETUSER:SECRET%20WORD@127.0.0.1:{hook.port}/SECRETPATH"
    told = refused(open_target(TargetOptions("phone", apprise=url)))
    assert "SECRET" not in told
    assert told.startswith("RuntimeError: at 127.0.0.1: url: /bot***/send")


def test_failures_are_one_line_without_secrets(hook, caplog):
    hook.answer(answer("500 Oops"))
    with caplog.at_level(logging.DEBUG):
        told = refused(target(hook, "SECRETPATH?password=SECRETWORD"))
    assert "500" in told
    own = [each for each in caplog.records if each.name.startswith(("streamclf", "apprise"))]
    assert "SECRET" not in told + "".join(each.getMessage() for each in own)
    assert len(told.splitlines()) == 1


def test_one_that_hangs_has_a_time_limit_and_only_one_thread(hook):
    hook.answer(hook.hang)
    opened = target(hook, "?rto=60&cto=60", timeout=0.3)
    began = time.monotonic()
    assert refused(opened) == "no answer within 0.3 s"
    assert refused(opened) == "the try before still hangs"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("url", "words"),
    [("nonsense://SECRET", "apprise nonsense://***: apprise knows no such service"),
     ("SECRET", "apprise ***: apprise knows no such service"),
     ("tgram://SECRET/x", "apprise tgram://***: apprise knows no such service, or lacks a part")],
)  # fmt: skip
def test_a_url_that_means_nothing_is_refused_without_showing_it(url, words):
    with pytest.raises(UsageError) as caught:
        open_target(TargetOptions("phone", apprise=url))
    assert str(caught.value).startswith(words)
    assert "SECRET" not in str(caught.value)


def test_attachments_are_refused_where_the_service_takes_none():
    with pytest.raises(UsageError, match=r"^attach clip: .* takes no files: leave it out"):
        open_target(TargetOptions("phone", apprise="syslog://", attach="clip"))
    assert not open_target(TargetOptions("phone", apprise="syslog://")).takes_clips


def test_without_apprise_a_line_says_how_to_get_it(monkeypatch):
    imported = builtins.__import__

    def refuse(name, *rest):
        if name == "apprise":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install 'streamclf\[notify\]'"):
        open_target(TargetOptions("phone", apprise="json://h/"))
