"""The command `devices`: which microphones there are."""

from __future__ import annotations

import dataclasses

from streamclf.cli.reports import print_json
from streamclf.core.redaction import show_safely


def devices(*, as_json: bool) -> int:
    """Print the microphones, or what to do where there is none. Returns the exit code.

    Raises:
        DeviceError: There is no PortAudio library.
    """
    from streamclf.sources.microphone.devices import advise
    from streamclf.sources.microphone.portaudio import PortAudioBackend

    inputs = PortAudioBackend().list_devices()
    if as_json:
        print_json([dataclasses.asdict(device) for device in inputs])
        return 0
    if not inputs:
        print("\n".join(advise()))
        return 1
    print("    index  channels  default rate  host API      name")
    for device in inputs:
        mark = "*" if device.is_default else " "
        print(
            f"  {mark} {device.index:>5}  {device.channels:>8}  "
            f"{device.default_sample_rate:>9.0f} Hz  {device.host_api:<12}  "
            f"{show_safely(device.name)}"
        )
    print("  * is the default; --device takes an index or part of a name")
    return 0
