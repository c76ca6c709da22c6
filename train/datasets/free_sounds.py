"""Everyday sounds that are free for every use, from wherever a program can fetch them.

Games, desktops, telephones, drum kits and lessons bring sounds along: animals, engines, doors,
steps, weather, voices, tools, alarms, instruments. They come from Debian's packages (apt-get) and
from public repositories (git), whose licences the program reads (`train.datasets.licences`): what
is not free for every use, or does not say that it is, is left out. Beside them it makes sounds that
nobody needs to record: voices of espeak-ng in many languages, instruments of free soundfonts by
fluidsynth, alarms, beeps, rings and hums (`train.datasets.made_sounds`).

    python -m train.datasets.free_sounds DIR --download

needs apt-get, git, espeak-ng, fluidsynth, some 12 GB of packages and repositories, and an hour;
with ``--only sound-icons,made`` a minute, to see whether all of it works. What lies in
``DIR/archives`` already (``PACKAGE_*.deb``, ``OWNER+NAME`` of a repository) is not fetched again.
``DIR/LICENCES.tsv`` is the table of all sources: package, version, licences, how many sounds were
taken and how many refused.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from train.base.errors import DatasetError, UsageError
from train.datasets import debian_sounds, speech_music
from train.datasets.archives import open_archives
from train.datasets.dataset import DataSet, Listing, Recording
from train.datasets.debian_packages import SOURCES
from train.datasets.decode import AUDIO_ENDINGS, duration_of
from train.datasets.files import audio_below
from train.datasets.folder import source_of, spread_sources
from train.datasets.instruments import PACKAGE as SOUNDFONT
from train.datasets.instruments import render_instruments
from train.datasets.licences import (
    Credit,
    credit_of,
    freesound_numbers,
    is_free,
    read_attributions,
    read_copyright,
    read_esc,
    read_list,
    read_table,
)
from train.datasets.made_sounds import write_made_sounds
from train.datasets.prepared import UNLABELLED, is_prepared
from train.datasets.progress import show_progress
from train.datasets.voices import speak

HELD_OUT = ("openclonk-data", "freeciv-data", "linphone-common", "lincity-ng-data", "pingus-data",
            "7kaa-data", "asc-music", "asterisk-core-sounds-ru-g722")  # fmt: skip
"""Packages that nothing is learned from, to judge by."""

NOTHING_FREE = ("btanks-data", "hydrogen-drumkits", "hydrogen-drumkits-effects")
"""Packages of `train.datasets.debian_sounds` whose sounds are under a licence of their own, or are
not named in the file that tells their licences."""

PACKAGES = tuple(
    sorted(
        {*debian_sounds.PACKAGES, *speech_music.PACKAGES} - set(NOTHING_FREE)
        | set(
            """
0ad-data 7kaa-data asc-music asterisk-moh-opsound-g722 atanks-data baresip-core bomber bumprace-data
chromium-bsu-data circuslinux-data deepin-sound-theme dreamchess-data dustracing2d-data
flightgear-data-base foobillardplus-data freeciv-data frozen-bubble-data gamine-data gcin-voice
gcompris-qt-data gl-117-data glob2-data gnome-audio granatier hannah-data kanagram khangman
klettres-data ktuberling-data linphone-common madbomber-data minetest-mod-homedecor
minetest-mod-mesecons minetest-mod-mobs-redo minetest-mod-nether moon-lander-data naev-data
openarena-data opencity-data openclonk-data pathological performous pidgin-data pingus-data
pokerth-data psi-plus-sounds pysiogame redeclipse-data ri-li-data simutrans-pak64 singularity-music
stormbaancoureur-data supertuxkart-data toppler torcs-data trigger-rally-data trophy-data
tuxfootball tuxmath-data tuxtype-data twinkle-common ufoai-sound wordwarvi-sound xmoto-data
yaru-theme-sound
""".split()
        )
    )
)
"""Packages of Debian's main section."""

LIST = "-"
"""Of a `Repository` whose list of licences is no table."""


@dataclass(frozen=True)
class Repository:
    """Sounds in a public repository.

    Attributes:
        name: OWNER/NAME.
        folder: Where its sounds lie.
        table: The file that tells their licences: ``attributions.yml``, a table or a list in
            Markdown, or a licence of all of them. ``*/NAME`` is a file in each folder of sounds,
            for the sounds beside it.
        column: How the table's column of file names begins; `LIST` where it is a list, an
            ``attributions.yml`` or ESC-50's csv; empty where the licence is of all.
        left_out: Beginnings of paths within ``folder`` that are not wanted.
        prefix: Of the files' names, which the table leaves out.
        most: Sounds taken, evenly from all there are by name.
        most_s: Seconds taken from the middle of a longer recording.
    """

    name: str
    folder: str
    table: str
    column: str = ""
    left_out: tuple[str, ...] = ()
    prefix: str = ""
    most: int = 500
    most_s: float = 60.0


STATION_LEFT_OUT = (
    "Weapons", "Lobby", "Announcements", "Jukebox", "Magic", "Voice/Talk",
    "Effects/RingtoneNotes", "Ambience/Antag", "Misc",
)  # fmt: skip
"""Of the sounds of Space Station 14's forks: weapons, music, and what is made by rule."""

ESC50 = Repository("karolpiczak/ESC-50", "audio", "meta/esc50.csv", LIST)
"""Whose ESC-10 part is free; its csv names the recordings of Freesound that judge."""

REPOSITORIES = (
    ESC50,  # the first, as others leave out what it has
    Repository("RedundantC/wis_part1", "mods/sounds/sounds", "mods/sounds/sources.md", "filename",
               prefix="sounds_"),
    Repository("AntumMT/game-antum", "mods/audio/sounds/sounds", "mods/audio/sounds/sources.md",
               "filename", prefix="sounds_"),
    Repository("rafaelmardojai/blanket", "data/resources/sounds", "SOUNDS_LICENSING.md", "sound"),
    Repository("Calinou/kenney-interface-sounds", "addons/kenney_interface_sounds",
               "addons/kenney_interface_sounds/LICENSE.txt"),
    Repository("covid19-cough/dataset", "raw", "LICENSE"),
    Repository("OpenTTD/OpenSFX", "src/wav", "LICENSE"),
    Repository("freedoom/freedoom", "sounds", "COPYING.adoc"),
    Repository("jtgsystems/modern-alarm-clock", "public/sfx", f"docs/{'soundscape-assets'}.md",
               "soundscape"),
    Repository("themias/space-station-14", "Resources/Audio", "*/attributions.yml", LIST,
               STATION_LEFT_OUT, most_s=30),
    Repository("Nyanotrasen/Nyanotrasen", "Resources/Audio", "*/attributions.yml", LIST,
               STATION_LEFT_OUT, most_s=30),
    Repository("Fris0uman/CDDA-Soundpacks", "sound/CC-Sounds", "*/credits.md", "file",
               left_out=("fire_gun", "melee", "reload", "menu", "mon_"), most_s=30),
    Repository("gveres/donateacry-corpus", "donateacry_corpus_cleaned_and_updated_data",
               "README.md", most=200),
    Repository("OpenRCT2/OpenSoundEffects", "openrct2.sound/samples", "LICENSE.ASSETS", most_s=30),
    Repository("VoxeLibre/VoxeLibre", "mods/ENTITIES/mobs_mc/sounds",
               "mods/ENTITIES/mobs_mc/LICENSE-media.md", LIST, most_s=30),
    Repository("APercy/automobiles_pck", ".", "license_media.txt"),
    Repository("ElCeejo/animalia", "sounds", "LICENSE"),
    Repository("Skandarella/animalworld", "sounds", "LICENSE"),
    Repository("Skandarella/people", "sounds", "LICENSE"),
    Repository("minetest-mods/digtron", "sounds", "sounds/license.txt"),
    Repository("RigsOfRods/rigs-of-rods", "resources/sounds", "COPYING",
               left_out=("default_GPWS", "default_chatter", "main_menu")),
    Repository("mateusfg7/Noisekun", ".github/assets/sounds", "README.md", "sound", most_s=30),
    Repository("FaceDeer/dfcaverns", "df_ambience/sounds", "df_ambience/sounds/LICENSE.txt",
               most_s=30),
    Repository("IBM/MAX-Audio-Classifier", "samples", "samples/README.md", LIST, most_s=30),
    Repository("DrunkenToast/gui-project", "sounds", "sounds/sound_licensing_blanket.md", "sound",
               most_s=30),
)  # fmt: skip

HEARD_ELSEWHERE = ("dfcaverns_pig_grunting",)
"""How the names of sounds begin that are Freesound's 158746, which ESC-50 has as well: the list of
their licences does not say which file is which recording."""

JUDGED = "in ESC-50 or UrbanSound8K as well"
JUDGED_NUMBERS = frozenset({99955, 151213, 157149, 159743, 163264, 207124, 212698, 251617})
"""Numbers of Freesound's recordings that the lists of licences name and folds 1 to 4 of
ESC-50, or UrbanSound8K, have, which judge. What else ESC-50's csv names is left out as well where
ESC-50 is fetched."""

N_OF_EACH = 500
"""Recordings of a source, evenly from all there are by name."""

MAX_BYTES = 12_000_000
MOST_S = 60.0
"""Seconds taken from the middle of a longer recording."""

LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
"""Of a repository: kept beside its list of sounds."""

ARCHIVES, LICENCES = "archives", "LICENCES.tsv"
MADE = ("voices", "instruments", "made")
VOICES, INSTRUMENTS = "voices: espeak-ng", f"instruments: {SOUNDFONT}"
MADE_SOUNDS = "made: train.datasets.made_sounds"
"""What they are called in the table of sources."""


@dataclass
class Taken:
    """A row of the table of sources."""

    source: str
    version: str
    licences: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def row(self) -> str:
        """Source, version, licences with numbers of sounds, and what was refused."""
        return "\t".join(
            [self.source, self.version, _count(self.licences), _count(self.refused) or "none"]
        )


@dataclass(frozen=True, kw_only=True)
class FreeSounds(DataSet):
    """A folder a source.

    Attributes:
        sources: What is fetched: packages, repositories, and kinds of sounds that are made here.
            All there are, unless some are named.
    """

    sources: tuple[str, ...] = ()

    downloads: ClassVar[bool] = True
    leaves_out_broken: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """By its table of sources."""
        return (folder / LICENCES).is_file() and (folder / SOURCES).is_file()

    def is_fetched(self, folder: Path) -> bool:
        """By the sources that its table names."""
        if not (folder.is_dir() and self.recognises(folder)):
            return False
        rows = (folder / SOURCES).read_text(encoding="utf-8").splitlines()
        return self._wanted() <= {name_of(row) for row in rows}

    def of_sources(self, names: Sequence[str]) -> DataSet:
        """The set of some sources."""
        unknown = sorted(set(names) - all_sources())
        if unknown:
            raise UsageError(
                f"--only: {unknown[0]!r} is no source; it takes packages and repositories that "
                f"docs/reference/free-sounds.md lists, and {', '.join(MADE)}"
            )
        return replace(self, sources=tuple(names))

    def _wanted(self) -> set[str]:
        return set(self.sources) or all_sources()

    def list_clips(self, folder: Path) -> Listing:
        """Every recording, or its middle; whole sources (numbered takes) are in one fold."""
        entries = []
        labels = sorted(
            path.name
            for path in folder.iterdir()
            if path.is_dir() and path.name != ARCHIVES and not is_prepared(path)
        )
        for target, label in enumerate(labels):
            for path in audio_below(folder / label):
                source = f"{label}/{source_of(path.relative_to(folder / label))}"
                entries.append((path, target, source))
        folds = spread_sources([source for *_, source in entries], [each[1] for each in entries])
        most_s = {each.name.replace("/", "+"): each.most_s for each in REPOSITORIES}
        recordings = tuple(
            Recording(
                path, path.relative_to(folder).as_posix(), fold, 0, source,
                _middle(path, most_s.get(labels[target], MOST_S)),
            )
            for (path, target, source), fold in zip(entries, folds, strict=True)
        )  # fmt: skip
        return Listing(recordings, ("sound",))

    def download(self, folder: Path) -> None:
        """Fetch packages and repositories, read their licences, take the sounds, make others."""
        archives = folder / ARCHIVES
        archives.mkdir(parents=True, exist_ok=True)
        rows, seen, wanted = [], set[str](), self._wanted()
        packages = [each for each in PACKAGES if each in wanted]
        repositories = [each for each in REPOSITORIES if each.name in wanted]
        made = [each for each in MADE if each in wanted]
        with show_progress(
            "fetching", len(packages) + len(repositories) + len(made), "sources"
        ) as update:
            for package in packages:
                rows.append(take_package(package, archives, folder / package, seen))
                update(len(rows))
            for repository in repositories:
                place = folder / repository.name.replace("/", "+")
                rows.append(take_repository(repository, archives, place, seen))
                update(len(rows))
            for name in made:
                rows.append(make_sounds(name, folder, archives))
                update(len(rows))
        header = "source\tversion\tlicences (sounds)\trefused (sounds)"
        table = [header, *(row.row() for row in rows)]
        (folder / LICENCES).write_text("\n".join(table) + "\n", encoding="utf-8")
        names = [f"{row.source} {row.version}" for row in rows]
        (folder / SOURCES).write_text("\n".join(names) + "\n", encoding="utf-8")


def take_package(package: str, archives: Path, folder: Path, seen: set[str]) -> Taken:
    """Fetch a package, unless it is there, and take its free sounds.

    Args:
        package: Its name.
        archives: Where packages lie.
        folder: For the sounds.
        seen: Digests of what was taken before: the same sound is taken once.

    Raises:
        DatasetError: It cannot be fetched or unpacked.
    """
    archive = fetch_archive(package, archives)
    taken = Taken(package, archive.stem.removeprefix(f"{package}_"))
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        try:
            subprocess.run(["dpkg-deb", "-x", str(archive), work], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DatasetError(f"{archive}: cannot be unpacked: {error}; delete it") from error
        document = root / "usr/share/doc" / package / "copyright"
        if not document.is_file():
            taken.refused["no copyright file"] += 1
            return taken
        text = document.read_text(encoding="utf-8", errors="replace")
        licences = read_copyright(text)
        open_archives(root)
        free = []
        for path in sounds_below(root):
            licence = licences.of(path.relative_to(root).as_posix())
            if licence and is_free(licence):
                free.append((path, licence))
            else:
                taken.refused[licence or licences.refusal or "not told"] += 1
        _keep(free, root, folder, taken, seen)
        if taken.licences:
            (folder / "copyright").write_text(text, encoding="utf-8")
    return taken


def fetch_archive(package: str, archives: Path) -> Path:
    """The file of a package; fetched with apt-get unless it lies there.

    Raises:
        DatasetError: It cannot be fetched.
    """
    there = sorted(archives.glob(f"{package}_*.deb"))
    if there:
        return there[-1]
    if shutil.which("apt-get") is None:
        raise DatasetError(
            f"--download: {package} comes from Debian and apt-get is not here; put its .deb file "
            f"into {archives}"
        )
    result = subprocess.run(
        ["apt-get", "download", "-q", package], cwd=archives, capture_output=True, text=True
    )
    there = sorted(archives.glob(f"{package}_*.deb"))
    if result.returncode or not there:
        reason = " ".join(result.stderr.split())[-200:] or "no such package"
        raise DatasetError(
            f"{package}: apt-get cannot fetch it: {reason}; run apt-get update and try again"
        )
    return there[-1]


def take_repository(repository: Repository, archives: Path, folder: Path, seen: set[str]) -> Taken:
    """Clone a repository, unless it is there, and take its free sounds.

    Raises:
        DatasetError: It cannot be cloned, or its table of licences is gone.
    """
    clone = archives / repository.name.replace("/", "+")
    if not clone.exists():
        url = f"https://github.com/{repository.name}"
        _git("clone", "--quiet", "--bare", "--depth", "1", url, str(clone))
    commit = _git("-C", str(clone), "rev-parse", "--short", "HEAD").decode().strip()
    taken = Taken(f"github.com/{repository.name}", commit)
    documents: dict[str, str] = {}
    found = find_free(repository, clone, documents, taken)
    chosen = np.linspace(0, len(found) - 1, min(repository.most, len(found))).astype(int)
    free = []
    with tempfile.TemporaryDirectory() as work:
        for name, licence in (found[index] for index in chosen):
            try:
                content = _git("-C", str(clone), "show", f"HEAD:{name}")
            except DatasetError:
                taken.refused["not in the clone"] += 1
                continue
            path = Path(work) / _inside(repository, name).replace("/", "-")
            path.write_bytes(content)
            free.append((path, licence))
        _keep(free, Path(work), folder, taken, seen)
    if taken.licences:
        for name in sorted(set(LICENCE_FILES) & set(_names_in(clone, ".", deep=False))):
            documents[name] = _text_in(clone, name)
        (folder / "copyright").write_text("\n".join(documents.values()), encoding="utf-8")
    return taken


def find_free(
    repository: Repository, clone: Path, documents: dict[str, str], taken: Taken
) -> list[tuple[str, str]]:
    """Names and licences of a repository's sounds that are free and wanted.

    Args:
        repository: With its list of licences.
        clone: Of it.
        documents: The lists by their names: filled here.
        taken: Its row of the table, to which the refused are added.
    """
    names = _names_in(clone, repository.folder)
    judged = JUDGED_NUMBERS | _numbers_of_esc(clone.parent)
    credits: dict[str, list[Credit]] = {}
    found = []
    for name in sorted(names):
        if Path(name).suffix.lower() not in AUDIO_ENDINGS:
            continue
        if _inside(repository, name).startswith(repository.left_out):
            continue
        table = repository.table.replace("*", Path(name).parent.as_posix())
        if table not in documents:
            missing = table != repository.table and table not in names
            documents[table] = "" if missing else _text_in(clone, table)
            credits[table] = read_credits(repository, documents[table])
        licence, refusal = judge(credits[table], Path(name).stem, judged)
        if refusal:
            taken.refused[refusal] += 1
        else:
            found.append((name, licence))
    return found


def read_credits(repository: Repository, text: str) -> list[Credit]:
    """Credits of a repository's sounds, of the text of its list or licence."""
    if not repository.column:
        licences = read_copyright(text)
        return [Credit("*", "" if licences.refusal else ", ".join(licences.names), "")]
    if repository.column != LIST:
        return read_table(text, repository.column, repository.prefix)
    readers = {".yml": read_attributions, ".csv": read_esc}
    return readers.get(Path(repository.table).suffix, read_list)(text)


def judge(
    credits: list[Credit], name: str, judged: frozenset[int] = JUDGED_NUMBERS
) -> tuple[str, str]:
    """The licence of a sound, and why it is not taken: empty where it is.

    Args:
        credits: What its repository's list says.
        name: Of its file, without the ending.
        judged: Numbers of Freesound's recordings that are not taken.
    """
    credit = credit_of(credits, name)
    if credit is None or not credit.licence:
        return "", "not told"
    if not is_free(credit.licence):
        return credit.licence, credit.licence
    if name.startswith(HEARD_ELSEWHERE) or freesound_numbers(credit.source) & judged:
        return credit.licence, JUDGED
    return credit.licence, ""


def _numbers_of_esc(archives: Path) -> set[int]:
    clone = archives / ESC50.name.replace("/", "+")
    if not clone.exists():
        return set()
    rows = csv.DictReader(_text_in(clone, ESC50.table).splitlines())
    return {int(row["src_file"]) for row in rows}


def _inside(repository: Repository, name: str) -> str:
    return name.removeprefix(f"{repository.folder}/")


def _names_in(clone: Path, folder: str, *, deep: bool = True) -> list[str]:
    how = ["-r"] if deep else []
    listing = _git("-C", str(clone), "ls-tree", *how, "-z", "--name-only", "HEAD", folder)
    return [name for name in listing.decode(errors="replace").split("\0") if name]


def _text_in(clone: Path, name: str) -> str:
    return _git("-C", str(clone), "show", f"HEAD:{name}").decode("utf-8", errors="replace")


def make_sounds(name: str, folder: Path, archives: Path) -> Taken:
    """Make voices, instruments or alarms and hums, in a folder of their own.

    Returns:
        Their row of the table.
    """
    place = folder / name
    source, version, licence = {
        "voices": (VOICES, "made here", "a program's output"),
        "instruments": (INSTRUMENTS, "", "MIT"),
        "made": (MADE_SOUNDS, "made here", "MIT"),
    }[name]
    if name == "voices":
        speak(place)
    elif name == "instruments":
        font = fetch_archive(SOUNDFONT, archives)
        render_instruments(font, place)
        version = font.stem.removeprefix(f"{SOUNDFONT}_")
    else:
        write_made_sounds(place)
    return Taken(source, version, Counter({licence: len(audio_below(place))}))


def all_sources() -> set[str]:
    """The names of everything that can be fetched or made."""
    return {*PACKAGES, *(each.name for each in REPOSITORIES), *MADE}


def name_of(row: str) -> str:
    """The name of a source, as `all_sources` has it, of a row of the table of sources."""
    kinds = {VOICES: "voices", INSTRUMENTS: "instruments", MADE_SOUNDS: "made"}
    name = row.rpartition(" ")[0].removesuffix(" made")
    return kinds.get(name, name.removeprefix("github.com/"))


def sounds_below(root: Path) -> list[Path]:
    """The sounds of an unpacked package, sorted, but for very long ones."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in AUDIO_ENDINGS
        and path.is_file()
        and not path.is_symlink()
        and path.stat().st_size <= MAX_BYTES
    )


def _keep(
    free: list[tuple[Path, str]], root: Path, folder: Path, taken: Taken, seen: set[str]
) -> None:
    if not free:
        return
    folder.mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(0, len(free) - 1, min(N_OF_EACH, len(free))).astype(int)
    for index in chosen:
        path, licence = free[index]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        shutil.copyfile(path, folder / "-".join(path.relative_to(root).parts[-3:]))
        taken.licences[licence] += 1


def _middle(path: Path, most_s: float) -> tuple[float, float] | None:
    seconds = duration_of(path)
    if seconds <= most_s:
        return None
    return (seconds - most_s) / 2, (seconds + most_s) / 2


def _count(counter: Counter[str]) -> str:
    return ", ".join(f"{name} ({n})" for name, n in counter.most_common())


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise DatasetError("--download: git is not here; install it") from error
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode(errors="replace").split())[-200:]
        raise DatasetError(f"git {' '.join(arguments)}: {reason}") from error


FREE_SOUNDS = FreeSounds(
    name="free-sounds",
    title="sounds of all kinds, free for every use, for imitation",
    url="https://packages.debian.org and public repositories",
    licence="free for every use: GPL, CC BY-SA, CC BY, CC0, MIT and others, as LICENCES.tsv says",
    citation="Debian packages " + ", ".join(PACKAGES) + "; "
    + ", ".join(f"github.com/{each.name}" for each in REPOSITORIES),
    layout="SOURCE/NAME.ogg and LICENCES.tsv",
    task=UNLABELLED,
    places=("free-sounds",),
    megabytes=12000,
)  # fmt: skip
DATASETS = (FREE_SOUNDS,)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("free_sounds"))
