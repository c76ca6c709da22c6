"""Everyday and odd sounds from Debian's packages, without labels: for `train.imitate`.

The packages are games, drum kits, drawing programs and desktops; their sounds are animals, engines,
doors, steps, weather, voices, tools, alarms, instruments. Of about 4 GB of packages (free licences,
mostly GPL and CC BY-SA; each one's ``copyright`` file is kept beside its sounds) a few hundred
short recordings each are taken: 1.1 GB. Each package has a folder.

    python -m train.datasets.debian_sounds DIR --download
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np

from train.datasets.debian_packages import SOURCES, fetch_packages, keep_copyright, keep_sound
from train.datasets.decode import AUDIO_ENDINGS
from train.datasets.folder import Folder

PACKAGES = tuple(
    """
amphetamine-data ardentryst bambam boswars-data brainparty-data brewtarget
btanks-data bucklespring-data bzflag-data caveexpress-data chuck-data colobot-common-sounds
crrcsim-data csmash-data cube2-data davegnukem-data endless-sky-data enigma-data etw-data
fillets-ng-data flare-game freecol freedink-data freedroidrpg-data freeorion-data freetennis-common
garden-of-coloured-lights-data gigalomania-data guitarix-common hedgewars-data
heroes-sound-effects hydrogen-data hydrogen-drumkits hydrogen-drumkits-effects kajongg krank
lincity-ng-data lmms-common lomiri-sounds lugaru-data marsshooter-data megaglest-data
micropolis-data minetest-data netpanzer-data neverball-common oxygen-sounds pekka-kana-2-data
pinball-table-gnu-data planetblupi-common plee-the-bear-data scid-data scorched3d-data scratch
searchandrescue-data sonic-pi-samples sound-icons sound-theme-freedesktop supertux-data
trackballs-data triplea tuxpaint-data tuxpaint-stamps-default unknown-horizons warmux-data
wesnoth-1.16-data widelands-data workrave-data
""".split()
)

MAX_PER_PACKAGE = 500
"""Most recordings of a package, taken evenly from all in the order of their names."""

MAX_BYTES = 4_000_000
"""Larger files are music."""

SPOKEN = "_desc"
"""Part of the names of Tux Paint's spoken descriptions (see `train.datasets.speech_music`)."""


class DebianSounds(Folder):
    """A folder for each package."""

    downloads: ClassVar[bool] = True
    leaves_out_broken: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """Recognise the list of packages beside a folder of one of them."""
        return (folder / SOURCES).is_file() and any((folder / name).is_dir() for name in PACKAGES)

    def download(self, folder: Path) -> None:
        """Fetch the packages, one at a time, and take the sounds out of them."""
        fetch_packages(PACKAGES, folder, lambda name, root: take_sounds(root, folder / name))


def take_sounds(unpacked: Path, folder: Path) -> None:
    """Copy a package's sounds, at most `MAX_PER_PACKAGE`."""
    there = sorted(
        path
        for path in unpacked.rglob("*")
        if path.suffix.lower() in AUDIO_ENDINGS
        and SPOKEN not in path.name
        and path.is_file()
        and not path.is_symlink()
        and path.stat().st_size <= MAX_BYTES
    )
    if there:
        chosen = np.linspace(0, len(there) - 1, min(MAX_PER_PACKAGE, len(there))).astype(int)
        for index in chosen:
            keep_sound(there[index], folder)
        keep_copyright(unpacked, folder)


DEBIAN_SOUNDS = DebianSounds(
    name="debian-sounds",
    title="sounds of all kinds from Debian's packages, for imitation",
    url="https://packages.debian.org",
    licence="GPL, CC BY-SA and others, as each package's copyright file says",
    citation="Debian packages " + ", ".join(PACKAGES),
    layout="PACKAGE/NAME.ogg",
    places=("debian-sounds",),
    megabytes=1100,
)
DATASETS = (DEBIAN_SOUNDS,)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("debian_sounds"))
