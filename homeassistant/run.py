"""What the add-on of Home Assistant runs: options become settings, then streamclf takes its place.

It has the standard library alone, and reads what the Supervisor gives: the options in
``/data/options.json``, the user's own ``/config/streamclf.toml``, and the broker of the service
``mqtt``, if there is one.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DATA, CONFIG = Path("data"), Path("config")
"""Folders of the add-on: its own, and the one that its user sees."""
SUPERVISOR = "http://supervisor"
INGRESS = "172.30.32.0/23"
"""Network from which Home Assistant shows the page to those who are logged in there."""
PORT = 8787
ANSWER_S = 10.0
STARTER = """\
# What streamclf hears. Restart the add-on after a change; its log tells what is wrong.
# The add-on gives the store, the page's address, and Home Assistant's own MQTT broker.

clips = "/media/streamclf"         # each event's audio, a folder a class, in Home Assistant's media
clips-limit = "5GB"
privacy = "speech"                 # no clip in which somebody speaks

[[sources]]
name = "microphone"
device = "pulse"                   # the input that is chosen in the add-on's settings

# [[sources]]
# name = "gate"
# url = "rtsp://user:password@camera/stream"
# only = "siren,dog"
"""


class AddonError(Exception):
    """What the user has to mend, in one line."""


def main(root: Path, supervisor: str = SUPERVISOR) -> None:
    """Prepare the settings, and become streamclf.

    Args:
        root: Folder that the add-on's folders lie in.
        supervisor: Where the Supervisor is asked.

    Raises:
        AddonError: Something is to be mended by the user.
    """
    data = root / DATA
    options = json.loads((data / "options.json").read_text(encoding="utf-8"))
    settings = write_settings(root, options, find_broker(supervisor))
    serve = ["streamclf", "serve", "--config", str(settings), "--store", str(data / "streamclf.db")]
    set_password(data / "password.json", str(options.get("password") or ""), serve)
    sys.stdout.flush()
    os.execvp(serve[0], [*serve, "--host", "0.0.0.0", "--port", str(PORT), "--proxy", INGRESS])  # noqa: S104, S606


def find_broker(supervisor: str) -> dict[str, Any] | None:
    """Ask the Supervisor for its MQTT broker; None if it has none."""
    token = os.environ.get("SUPERVISOR_TOKEN", "")
    request = urllib.request.Request(  # noqa: S310
        f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            said = json.load(answer)
    except urllib.error.HTTPError:  # there is no such service
        return None
    except (OSError, ValueError) as error:
        say(f"warning: the Supervisor does not tell of a broker: {error}")
        return None
    found = said.get("data")
    return found if isinstance(found, dict) and found.get("host") else None


def write_settings(root: Path, options: dict[str, Any], broker: dict[str, Any] | None) -> Path:
    """Write the settings: the user's own, with the broker behind them.

    Args:
        root: Folder that the add-on's folders lie in.
        options: The add-on's options.
        broker: The broker, as the Supervisor tells of it.

    Returns:
        The file to use: the user's own where nothing is added to it.

    Raises:
        AddonError: The user's file is no TOML.
    """
    own = root / CONFIG / "streamclf.toml"
    if not own.is_file():
        own.write_text(STARTER, encoding="utf-8")
        say(f"{own} was made: it says what is heard")
    text = own.read_text(encoding="utf-8-sig")
    try:
        has_broker = "mqtt" in tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AddonError(f"{own}: is no TOML: {error}") from error
    if has_broker or broker is None:
        which = "the one of the settings" if has_broker else "none: add Home Assistant's Mosquitto"
        say(f"the MQTT broker: {which}")
        return own
    say(f"the MQTT broker: {broker['host']}, as the Supervisor tells")
    password = root / DATA / "mqtt-password"
    write_secret(password, f"{broker.get('password') or ''}\n")
    keys: dict[str, Any] = {"host": broker["host"], "port": broker.get("port")}
    if broker.get("username"):
        keys |= {"user": broker["username"], "password-file": str(password)}
    keys |= {"tls": broker.get("ssl") or None, "labels": options.get("mqtt_labels") or None}
    # JSON's texts, numbers, lists and truth values are TOML's as well.
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value is not None]
    settings = root / DATA / "streamclf.toml"
    settings.write_text("\n".join([text, "[mqtt]", *lines, ""]), encoding="utf-8")
    return settings


def set_password(known: Path, password: str, serve: list[str]) -> None:
    """Set the page's password if it is another one than before, which logs everybody out.

    Args:
        known: File that tells which one was set before, without holding it.
        password: The password.
        serve: Command line of streamclf.

    Raises:
        AddonError: It cannot be set.
    """
    if not password:
        raise AddonError("set a password in the add-on's configuration: the page needs one")
    before = json.loads(known.read_text()) if known.is_file() else {"salt": os.urandom(16).hex()}
    scrambled = hashlib.scrypt(
        password.encode(), salt=before["salt"].encode(), n=2**14, r=8, p=1
    ).hex()
    if before.get("scrambled") == scrambled:
        return
    line = f"{password}\n"
    if subprocess.run([*serve, "--set-password"], input=line, text=True).returncode != 0:
        raise AddonError("the password in the add-on's configuration was not taken: see above")
    write_secret(known, json.dumps({**before, "scrambled": scrambled}))


def write_secret(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def say(line: str) -> None:
    """Write a line into the add-on's log."""
    print(f"add-on: {line}", flush=True)


if __name__ == "__main__":
    try:
        main(Path("/"))
    except AddonError as error:
        say(f"error: {error}")
        sys.exit(2)
