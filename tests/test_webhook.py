"""The webhook: what it is sent, and what is made of every kind of answer."""

import datetime
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import threading
import time
from email.utils import format_datetime
from pathlib import Path

import jsonschema
import pytest
from webhooks import Webhook, answer, make_message

from streamclf import __version__
from streamclf.core.errors import UsageError
from streamclf.notify.message_json import MessageRecord, local_time
from streamclf.notify.targets.base import DeliveryError
from streamclf.notify.targets.factory import open_target
from streamclf.notify.targets.options import TargetOptions
from streamclf.notify.targets.webhook import MAX_RETRY_AFTER_S, WebhookTarget
from streamclf.sinks.json_records import json_schema


@pytest.fixture
def hook():
    with Webhook() as webhook:
        yield webhook


def target(url: str, **options: object) -> WebhookTarget:
    return WebhookTarget(TargetOptions("hook", webhook=url, **options), now=lambda: 1_700_000_000)


def refused(url: str, **options: object) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        target(url, **options).send(make_message(), None)
    return caught.value


def test_a_message_is_posted_as_json_that_its_schema_describes(hook):
    end = make_message(on="end", offset_us=1_700_000_001_500_000, count=3)
    quiet = make_message(
        on="quiet", label="", event_id=None, score=None, onset_us=1_699_990_000_000_000
    )
    for message in (make_message(), end, quiet):
        open_target(TargetOptions("hook", webhook=hook.url)).send(message, None)
        sent = hook.next()
        jsonschema.validate(sent.json, json_schema(MessageRecord))
    assert sent.line == "POST /heard HTTP/1.1"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["user-agent"] == f"streamclf/{__version__}"
    assert sent.headers["x-streamclf-token"] == "token-1"
    assert "authorization" not in sent.headers
    assert "x-streamclf-signature" not in sent.headers
    begin, end, quiet = (request.json for request in hook.requests)
    assert begin == {
        "type": "message", "schema": 1, "token": "token-1", "rule": "smoke", "on": "begin",
        "told": "2023-11-15T00:13:20.000+02:00", "text": "Smoke alarm in kitchen, 1",
        "source": "kitchen", "label": "smoke_alarm", "name": "Smoke alarm",
        "id": "smoke_alarm-1@run", "score": 0.91, "time": "2023-11-15T00:13:19.000+02:00",
        "count": 1,
    }  # fmt: skip
    assert (end["end_time"], end["length_s"]) == ("2023-11-15T00:13:21.500+02:00", 2.5)
    assert end["count"] == 3
    assert not {"id", "score", "end_time"} & set(quiet)


def test_local_time_is_the_places_own():
    assert local_time(0, -210) == "1969-12-31T20:30:00.000-03:30"


def test_tokens_headers_and_signature_come_from_files(hook, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "headers").write_text(
        "# for the proxy\nX-Key: abc\n\nAccept: text/plain\nuser-agent: mine\n"
    )
    monkeypatch.setenv("HOOK_TOKEN", "bearer-me")
    target(
        hook.url, secret_file=tmp_path / "secret", token_env="HOOK_TOKEN",
        headers_file=tmp_path / "headers",
    ).send(make_message(), None)  # fmt: skip
    sent = hook.next()
    assert sent.headers["authorization"] == "Bearer bearer-me"
    assert sent.headers["user-agent"] == "mine"
    assert (sent.headers["x-key"], sent.headers["accept"]) == ("abc", "text/plain")
    assert sent.headers["x-streamclf-timestamp"] == "1700000000"
    right = hmac.new(b"s3cret", b"1700000000." + sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["x-streamclf-signature"] == f"sha256={right}"


def test_a_user_before_the_host_signs_in(hook):
    url = hook.url.replace("//", "//me:p%40ss@") + "?room=1"
    target(url).send(make_message(), None)
    sent = hook.next()
    assert sent.headers["authorization"] == "Basic bWU6cEBzcw=="
    assert sent.line == "POST /heard?room=1 HTTP/1.1"
    assert "p@ss" not in target(url).description


@pytest.mark.parametrize(
    ("status", "lasting"),
    [("200 OK", None), ("204 No Content", None), ("299 x", None), ("400 Bad Request", True),
     ("413 Too Large", True), ("422 Unprocessable", True), ("401 Unauthorized", False),
     ("403 Forbidden", False), ("404 Not Found", False), ("408 Timeout", False),
     ("425 Too Early", False), ("429 Too Many", False), ("500 Server Error", False),
     ("502 Bad Gateway", False), ("503 Unavailable", False), ("302 Found", False)],
)  # fmt: skip
def test_each_answer_is_taken_for_what_it_is(hook, status, lasting):
    hook.answer(answer(status))
    if lasting is None:
        target(hook.url).send(make_message(), None)
        return
    error = refused(hook.url)
    assert error.lasting == lasting
    assert f"it answers {status}" in str(error)


def test_a_redirect_is_not_followed(hook, tmp_path):
    (tmp_path / "token").write_text("bearer-me")
    with Webhook() as elsewhere:
        hook.answer(answer("307 Temporary Redirect", f"Location: {elsewhere.url}\r\n"))
        error = refused(hook.url, token_file=tmp_path / "token")
        assert "leads elsewhere: name the address that it leads to" in str(error)
        assert not elsewhere.requests


def test_retry_after_is_followed_within_bounds(hook):
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    for said, least, most in [
        ("7", 7, 7), ("0", 0, 0), ("999999999999", MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S),
        (format_datetime(soon, usegmt=True), 50, 100),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
    ]:  # fmt: skip
        hook.answer(answer("429 Too Many", f"Retry-After: {said}\r\n"))
        assert least <= refused(hook.url).after_s <= most
    for said in ("soon", "-1", "1.5"):
        hook.answer(answer("503 Unavailable", f"Retry-After: {said}\r\n"))
        assert refused(hook.url).after_s is None


def drip(connection: socket.socket) -> None:
    """Answer a byte now and then."""
    try:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize("way", ["hang", "drip"])
def test_all_of_a_try_has_a_time_limit(hook, way):
    hook.answer(hook.hang if way == "hang" else drip)
    began = time.monotonic()
    error = refused(hook.url, timeout=0.5)
    assert str(error) == "no answer within 0.5 s"
    assert not error.lasting
    assert time.monotonic() - began < 20


def test_what_breaks_off_is_tried_again(hook):
    hook.answer(b"", b"HTTP/1.1 ", b"\xff\xfe nonsense\r\n\r\n")
    said = [str(refused(hook.url)) for _ in range(3)]
    assert said[0] == "it closed the connection before it had answered"
    assert all("\n" not in each for each in said)
    # An answer that breaks off after it has said that all is well has said so.
    for half in (b"Content-Length: 100\r\n\r\nhalf", b"X: a"):
        hook.answer(b"HTTP/1.1 200 OK\r\n" + half)
        target(hook.url).send(make_message(), None)


def test_nobody_there_is_told_in_plain_words():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}/")
    assert (str(error), error.lasting) == ("connection refused", False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate for localhost, with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_certificates_are_checked(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    taken: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            plain, _ = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as secure:
                    taken.append(b"")
                    while not taken[-1].endswith(b"}"):
                        taken[-1] += secure.recv(65_536)
                    secure.sendall(answer())
            except OSError:
                plain.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"https://localhost:{listener.getsockname()[1]}/"
        error = refused(url)
        assert str(error).startswith("its certificate is refused: self-signed certificate")
        assert not error.lasting  # somebody may mend it within the day
        target(url, ca_file=certificate / "cert.pem").send(make_message(), None)
        assert taken
        wrong = url.replace("localhost", "127.0.0.1")
        assert "its certificate is refused" in str(refused(wrong, ca_file=certificate / "cert.pem"))


def test_secrets_stay_out_of_every_text(hook, tmp_path):
    (tmp_path / "url").write_text(f"{hook.url}-SECRETPATH?key=SECRETKEY\n")
    (tmp_path / "token").write_text("SECRETTOKEN")
    options = TargetOptions("hook", webhook_file=tmp_path / "url", token_file=tmp_path / "token")
    hook.answer(answer("500 SECRETTOKEN heard-SECRETPATH?key=SECRETKEY"))
    opened = open_target(options)
    with pytest.raises(DeliveryError) as caught:
        opened.send(make_message(), None)
    texts = [str(caught.value), opened.description, repr(options)]
    texts.append(repr(TargetOptions("hook", webhook="http://h/SECRETPATH")))
    assert "SECRET" not in "".join(texts)
    assert opened.description == f"http://127.0.0.1:{hook.port}/***"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name hook: the target goes nowhere: give webhook, apprise or exec"),
        ({"webhook": "ftp://h/x"}, "webhook ftp://h/***: must be an address like https://"),
        ({"webhook": ""}, "webhook (empty): must be an address"),
        ({"webhook": "https://"}, "webhook https://: must be an address"),
        ({"webhook": "https://h:99999/"}, "webhook https://h:99999/: must be"),
        ({"webhook": "https://h/a b"}, "webhook https://h/***: must be"),
        ({"webhook": "http://h", "exec": ("a",)}, "exec: webhook is given as well"),
        ({"webhook": "http://h", "webhook_env": "H"}, "webhook-env: webhook is given as well"),
        ({"webhook": "http://h", "secret_file": Path("a"), "secret_env": "H"},
         "secret-env: secret-file is given as well"),
        ({"webhook": "http://h", "attach": "clip"}, "attach: is for a target with apprise, and"),
        ({"exec": ("a",), "token_env": "H"}, "token-env: is for a target with webhook, and hook"),
        ({"webhook": "http://h", "folder": Path()}, "folder: is for a target with exec"),
        ({"webhook": "http://h", "timeout": 0.0}, "timeout 0 s: must be above 0 s and at most"),
        ({"webhook": "http://h", "max_age": 1e9}, "max-age 1000000000 s: must be above 0 s"),
    ],
)  # fmt: skip
def test_options_that_make_no_target_are_refused(options, words):
    with pytest.raises(UsageError) as caught:
        TargetOptions("hook", **options)
    assert str(caught.value).startswith(words)
    with pytest.raises(UsageError, match=r"^name 'a/b': must be 1 to 64 letters"):
        TargetOptions("a/b", webhook="http://h")
    assert TargetOptions("Küche 2", webhook="http://h").name == "Küche 2"


@pytest.mark.parametrize(
    "address",
    [
        "hooks.example.com/services/T0/SECRET",
        "SECRET",
        "https:/h/SECRET",
        "htps://h/SECRET",
        "https://h/a SECRET",
        "https://h:99999/SECRET",
        "https://h:99999?key=SECRET",
        "https://u:SECRET@h:x/",
        "https://u:S/E@SECRET@h:x/SECRET",
        "https://h/\nSECRET",
        "https://ü/SECRET",
        "file:///SECRET",
    ],
)
def test_an_address_with_a_mistake_keeps_its_secrets(address):
    with pytest.raises(UsageError) as caught:
        TargetOptions("hook", webhook=address)
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["webhook", "apprise", "token", "secret"])
@pytest.mark.parametrize("said", ["https://h/SECRET", "tgram://SECRET/1"])
def test_a_secret_in_place_of_the_name_of_its_file_or_variable_is_not_shown(key, said):
    for ending, value in [("env", said), ("file", Path(said)), ("env", "SE-CRET:1")]:
        options = {"webhook": "http://h"} if key in ("token", "secret") else {}
        with pytest.raises(UsageError) as caught:
            TargetOptions("hook", **options, **{f"{key}_{ending}": value})
        assert str(caught.value).startswith(f"{key}-{ending} ***: must be the ")
        assert "CRET" not in str(caught.value)


def test_a_mark_that_editors_put_in_front_of_a_secret_is_no_part_of_it(hook, tmp_path):
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfword\r\n")
    target(hook.url, token_file=tmp_path / "token").send(make_message(), None)
    assert hook.next().headers["authorization"] == "Bearer word"


def test_files_and_variables_that_hold_nothing_of_use_are_refused(tmp_path):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "no-url").write_text("SECRET")
    (tmp_path / "headers").write_text("Content-Length: 5")
    (tmp_path / "lines").write_text("one\ntwo")
    hook = {"webhook": "https://h/"}
    for options, words in [
        ({"webhook_file": tmp_path / "none"}, f"webhook-file {tmp_path}/none: cannot be read: no"),
        ({"webhook_file": tmp_path / "no-url"}, f"webhook-file {tmp_path}/no-url: must hold an"),
        ({"webhook_env": "NOT_SET"}, "webhook-env NOT_SET: this environment variable is not set"),
        ({**hook, "token_file": tmp_path / "empty"}, f"token-file {tmp_path}/empty: is empty"),
        ({**hook, "token_file": tmp_path / "lines"}, f"token-file {tmp_path}/lines: must hold one"),
        ({**hook, "secret_file": tmp_path / "binary"}, f"secret-file {tmp_path}/binary: cannot be"),
        ({**hook, "headers_file": tmp_path / "headers"}, f"headers-file {tmp_path}/headers: hea"),
        ({**hook, "ca_file": tmp_path / "no-url"}, f"ca-file {tmp_path}/no-url: cannot be used"),
    ]:  # fmt: skip
        with pytest.raises(UsageError) as caught:
            open_target(TargetOptions("hook", **options))
        assert str(caught.value).startswith(words), caught.value
        assert "SECRET" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_a_text_of_any_kind_arrives_as_it_is(hook):
    text = 'Größe "5" \\ \n $(rm -rf /) \u2028 \U0001f525 ' + "x" * 100_000
    target(hook.url).send(make_message(text=text), None)
    assert json.loads(hook.next().body)["text"] == text
