"""A private PulseAudio whose null sink is the microphone, for tests with real audio."""

from __future__ import annotations

import ctypes.util
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

START_TIMEOUT_S = 60.0

# The system's own configuration defines what "pulse" needs; without it the type alone does.
ASOUND = """
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


@functools.cache
def available() -> str:
    """Why no server can be started here; empty if one can."""
    for program, package in [
        ("pulseaudio", "pulseaudio"),
        ("paplay", "pulseaudio-utils"),
        ("pactl", "pulseaudio-utils"),
    ]:
        if shutil.which(program) is None:
            return f"{program} is missing: apt install {package}"
    if ctypes.util.find_library("portaudio") is None:
        return "PortAudio is missing: apt install libportaudio2"
    if importlib.util.find_spec("sounddevice") is None:
        return "sounddevice is missing: pip install sounddevice"
    # Debian has a folder for each architecture. To search all below /usr/lib takes half a second.
    places = [
        *Path("/usr/lib").glob("*/alsa-lib"), Path("/usr/lib/alsa-lib"), Path("/usr/lib64/alsa-lib")
    ]  # fmt: skip
    if not any((place / "libasound_module_pcm_pulse.so").exists() for place in places):
        return "ALSA's pulse plugin is missing: apt install libasound2-plugins"
    return ""


class AudioServer:
    """A PulseAudio of the test's own: what `play` plays, the default microphone hears.

    It needs neither a session bus nor a user other than root, and leaves nothing behind.

    Attributes:
        env: The environment for processes that are to use it.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="streamclf-audio-")
        folder = Path(self._folder.name)
        (folder / "asound.conf").write_text(ASOUND)
        (folder / "home").mkdir()
        self._log = folder / "pulseaudio.log"
        hidden = {"DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "PULSE_SINK", "PULSE_RUNTIME_PATH"}
        self.env = {name: value for name, value in os.environ.items() if name not in hidden} | {
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
            "PULSE_SERVER": f"unix:{folder}/pulse.socket",
            "PULSE_SOURCE": "fake.monitor",
            # A client that finds no server must not start one.
            "PULSE_CLIENTCONFIG": str(folder / "client.conf"),
        }
        (folder / "client.conf").write_text("autospawn = no\n")
        self._socket = folder / "pulse.socket"
        self._server: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the server (plug the microphone in) and wait until it answers."""
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    "pulseaudio",
                    "-n",
                    "--daemonize=no",
                    "--use-pid-file=no",
                    "--exit-idle-time=-1",
                    "--log-target=stderr",
                    f"--load=module-native-protocol-unix auth-anonymous=1 socket={self._socket}",
                    "--load=module-null-sink sink_name=fake",
                ],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PulseAudio does not start:\n{self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once (pull the microphone) and everything that plays."""
        for process in [*self._players, self._server]:
            if process is not None and process.poll() is None:
                process.kill()
            if process is not None:
                process.wait()
        self._server, self._players = None, []

    def add_device(self, name: str) -> None:
        """Plug one more microphone in: it hears what is played, too."""
        with (Path(self._folder.name) / "asound.conf").open("a") as conf:
            conf.write(f"pcm.{name} {{ type pulse }}\n")

    def freeze(self) -> None:
        """Halt the server: it stays connected and says nothing more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def play(self, path: Path | str, *, wait: bool = True) -> subprocess.Popen[bytes]:
        """Play a WAV, FLAC or Ogg file into the microphone."""
        player = subprocess.Popen(["paplay", "--device=fake", str(path)], env=self.env)
        self._players.append(player)
        if wait and player.wait() != 0:
            raise RuntimeError(f"paplay {path} ended with {player.returncode}")
        return player

    def _signal(self, number: int) -> None:
        if self._server is not None:
            self._server.send_signal(number)

    def _answers(self) -> bool:
        done = subprocess.run(["pactl", "info"], env=self.env, capture_output=True, check=False)
        return done.returncode == 0
