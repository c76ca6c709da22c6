"""Carry out the steps of the Dockerfile where there is no Docker, and try what comes of them.

    python scripts/try_image.py [--folder FOLDER] [--keep] [--add-on]

It needs root, Linux, debootstrap and a Debian mirror, and takes some minutes and 1 GB, so it is no
part of the tests. Each stage is a folder: Debian's own base system (which the image
debian:NAME-slim is as well, without manuals), in which each RUN is run by chroot, and each COPY
copies. Then the command of the image runs as it would in a container: as the image's user, with a
read-only root, in namespaces of its own for processes, mounts and the network, with a simulated
microphone. Its health check has to succeed, and SIGTERM to end it. Docker itself is not tried.

With --add-on it is the image of Home Assistant's add-on, which starts with a password alone:
without a Supervisor, and with a microphone that is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "for this trial alone"  # noqa: S105
HANDED_ON = re.compile(r"(PIP_CERT|PIP_(EXTRA_)?INDEX_URL|.*_proxy|.*_PROXY|SSL_CERT_FILE)")
"""Variables of this machine's own that the steps get, so that they find the network."""
STORE, CLIPS = "/var/lib/streamclf", "/clips"
HEALTHY_S = 120.0
SOUND = ROOT / "examples" / "afternoon.flac"


@dataclass
class Image:
    """A stage of the Dockerfile, and what it says of containers.

    Attributes:
        root: Folder that holds its files.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


def main() -> int:
    """Build the image, and try it. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="folder of the stages; a temporary one")
    parser.add_argument("--keep", action="store_true", help="use stages of before, and keep them")
    parser.add_argument("--add-on", action="store_true", help="try Home Assistant's add-on")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        print("it needs root, and debootstrap (apt-get install debootstrap)", file=sys.stderr)
        return 2
    folder = options.folder or Path(tempfile.mkdtemp(prefix="streamclf-image-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        context = ROOT
        if options.add_on:
            context = folder / "context"
            runpy.run_path(str(ROOT / "scripts" / "addon.py"))["assemble"](context)
        image = build(read_steps(context / "Dockerfile"), context, folder, keep=options.keep)
        (try_add_on if options.add_on else try_image)(image, folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def read_steps(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their texts, lines joined and comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip())
        for line in text.splitlines()
        if line.strip()
        for word, _, rest in [line.strip().partition(" ")]
    ]


def build(steps: list[tuple[str, str]], context: Path, folder: Path, *, keep: bool) -> Image:
    """Carry out the steps of a Dockerfile.

    Args:
        steps: What `read_steps` returns.
        context: Folder that COPY copies from.
        folder: Folder of the stages.
        keep: Whether a stage that was built before is used again.

    Returns:
        The last stage.
    """
    stages: dict[str, Image] = {}
    image, is_built = Image(folder), False
    for word, rest in steps:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            name = name or "last"
            is_built = keep and (folder / name).is_dir()
            if base in stages:
                image = replace(stages[base], root=folder / name)
                copy_system(stages[base].root, image.root)
                is_built = False
            else:
                image = begin_stage(base, folder / name, folder, is_built=is_built)
            stages[name] = image
            say(f"{name}: {base}{', as it is' if is_built else ''}")
        elif word == "RUN":
            if not is_built:
                say(f"RUN {rest[:90]}")
                run_in(image, ["sh", "-c", rest])
        elif word == "COPY":
            if not is_built:
                copy(rest, image, context, stages)
        elif word == "ENV":
            set_variables(image, rest)
        elif word == "WORKDIR":
            image.folder = rest
            inside(image, rest).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            image.user = rest
        elif word == "VOLUME":
            image.volumes = json.loads(rest)
        elif word in ("ENTRYPOINT", "CMD"):
            setattr(image, "entrypoint" if word == "ENTRYPOINT" else "command", json.loads(rest))
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition(" CMD ")[2])
        elif word not in ("EXPOSE", "STOPSIGNAL", "LABEL"):
            raise SystemExit(f"{word}: this script does not know this instruction")
    return image


def set_variables(image: Image, text: str) -> None:
    """Carry out an ENV; values may name variables that are known by then."""
    known = {"PATH": PATH, **image.environment}
    for pair in shlex.split(text):
        key, _, value = pair.partition("=")
        image.environment[key] = re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), value)


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def begin_stage(base: str, root: Path, folder: Path, *, is_built: bool) -> Image:
    """Make the root of a stage from Debian's base system."""
    suite = re.fullmatch(r"debian:(\w+)-slim", base)
    if suite is None:
        raise SystemExit(f"FROM {base}: this script knows debian:NAME-slim alone")
    system = folder / f"debian-{suite[1]}"
    if not system.is_dir():
        say(f"debootstrap {suite[1]}")
        subprocess.run(
            ["debootstrap", "--variant=minbase", suite[1], str(system)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        slim(system)
    if not is_built:
        copy_system(system, root)
    return Image(root)


def copy_system(system: Path, root: Path) -> None:
    """Put a copy of a system in place of another one."""
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(system), str(root)], check=True)


def slim(system: Path) -> None:
    """Leave out what debian:NAME-slim leaves out, and let apt keep nothing, as it does there."""
    for name in ("doc", "info", "locale", "man"):
        shutil.rmtree(system / "usr/share" / name, ignore_errors=True)
    (system / "etc/apt/apt.conf.d/docker-clean").write_text(
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        'APT::Keep-Downloaded-Packages "false";\n'
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
    )
    (system / "etc/dpkg/dpkg.cfg.d/docker").write_text(
        "".join(f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "info", "locale", "man"))
    )
    subprocess.run(["chroot", str(system), "apt-get", "clean"], check=True)
    for cache in (system / "var/cache/apt").glob("*pkgcache.bin"):
        cache.unlink()


def run_in(image: Image, command: list[str]) -> None:
    """Run a step in a stage, with the network of this machine."""
    ours = [(key, value) for key, value in os.environ.items() if HANDED_ON.fullmatch(key)]
    environment = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive", **dict(ours)}
    shutil.copy("/etc/resolv.conf", image.root / "etc" / "resolv.conf")
    shutil.copy("/etc/hosts", image.root / "etc" / "hosts")
    bundle = Path(environment.get("SSL_CERT_FILE", ""))
    if bundle.is_file():  # the certificates that this machine trusts, for the time of the step
        environment |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), "/tmp/certificates.pem")  # noqa: S108
        shutil.copy(bundle, image.root / "tmp" / "certificates.pem")
    given = [f"{key}={value}" for key, value in {**environment, **image.environment}.items()]
    where = f"cd {shlex.quote(image.folder)} && exec {shlex.join(command)}"
    inner = [
        "chroot",
        f"--userspec={image.user}",
        str(image.root),
        "env",
        "-i",
        *given,
        "sh",
        "-c",
        where,
    ]
    mounts = f"mount -t proc proc {shlex.quote(str(image.root / 'proc'))}"
    try:
        subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-c", f"{mounts}; {shlex.join(inner)}"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        (image.root / "tmp" / "certificates.pem").unlink(missing_ok=True)


def inside(image: Image, path: str) -> Path:
    """A path of the image, in the folder that holds its files."""
    return image.root / str(Path(image.folder) / path).lstrip("/")


def copy(rest: str, image: Image, context: Path, stages: dict[str, Image]) -> None:
    """Carry out a COPY: a folder's content, or files."""
    *sources, target = rest.split()
    origin = context
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).removeprefix("--from=")].root
    goal = inside(image, target)
    for source in sources:
        found = origin / source.lstrip("/")
        if found.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if origin == context else None
            shutil.copytree(found, goal, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        else:
            into = goal / found.name if target.endswith("/") or goal.is_dir() else goal
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def try_image(image: Image, folder: Path) -> None:
    """Run the image's command with a simulated microphone, ask for its health, and end it."""
    size = subprocess.run(
        ["du", "-sm", str(image.root)], capture_output=True, text=True, check=True
    )
    say(f"the image has {size.stdout.split()[0]} MB")
    for compiler in ("cc", "gcc", "c++", "ld", "make"):
        if shutil.which(compiler, path=os.pathsep.join(str(image.root / part.lstrip("/"))
                                                       for part in PATH.split(":"))):  # fmt: skip
            raise SystemExit(f"the image has a compiler: {compiler}")
    volumes = {volume: folder / f"volume{at}" for at, volume in enumerate(image.volumes)}
    for volume, place in volumes.items():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run(["cp", "-a", str(inside(image, volume)), str(place)], check=True)
    shutil.copy(SOUND, volumes[STORE] / SOUND.name)
    serve = [*image.entrypoint, *image.command]

    refused = start(image, volumes, serve)
    said = refused.communicate(timeout=HEALTHY_S)[1]
    if refused.returncode != 2 or "it has no password" not in said:
        raise SystemExit(f"without a password it has to end with 2: {refused.returncode}: {said}")
    say("without a password it says so, and ends with 2")

    setting = start(image, volumes, [*serve, "--set-password"])
    said = setting.communicate(f"{PASSWORD}\n", timeout=HEALTHY_S)[1]
    if setting.returncode != 0:
        raise SystemExit(f"the password cannot be set: {said}")

    # The settings of the image, with a recording in place of the microphone.
    source = f"sim:{STORE}/{SOUND.name}"
    text = (image.root / "etc/streamclf/streamclf.toml").read_text()
    text = text.replace(
        'name = "microphone"', f'name = "simulated"\nurl = "{source}"\nloop = true\n'
    )
    (volumes[STORE] / "trial.toml").write_text(text)
    process = start(image, volumes, [*serve[:-1], f"{STORE}/trial.toml"])
    try:
        for line in wait_for_health(image, process):
            say(line)
        owners = {path.stat().st_uid for path in volumes[STORE].glob("streamclf.db*")}
        say(f"the store belongs to the user {owners}")
        end(process)
        said = process.communicate(timeout=HEALTHY_S)[1]
    finally:
        if process.poll() is None:
            process.kill()
    heard = [line for line in said.splitlines() if "heard" in line]
    say("\n".join(heard))
    if process.returncode != 130 or not heard or owners != {int(image.user)}:
        raise SystemExit(f"it ended with {process.returncode}: {said}")
    say("SIGTERM ended it with 130")


def try_add_on(image: Image, folder: Path) -> None:
    """Start the add-on as the Supervisor does, ask for its health, and end it."""
    volumes = {volume: folder / volume.strip("/") for volume in ("/data", "/config")}
    for volume, place in volumes.items():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        inside(image, volume).mkdir(exist_ok=True)
    (volumes["/data"] / "options.json").write_text(json.dumps({"password": PASSWORD}))
    process = start(image, volumes, image.entrypoint)
    try:
        for line in wait_for_health(image, process):
            say(line)
        end(process)
        said = process.communicate(timeout=HEALTHY_S)[1]
    finally:
        if process.poll() is None:
            process.kill()
    say(said)
    if process.returncode != 130 or not (volumes["/config"] / "streamclf.toml").is_file():
        raise SystemExit(f"it ended with {process.returncode}")
    say("SIGTERM ended it with 130")


def start(image: Image, volumes: dict[str, Path], command: list[str]) -> subprocess.Popen[str]:
    """Start a command as in a container: the first process of its own, with a read-only root."""
    root = shlex.quote(str(image.root))
    steps = [
        "set -e", f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}",
        f"mount -t tmpfs tmpfs {root}/tmp",  # noqa: S108
        f"mount -t proc proc {root}/proc",
        f"mount --rbind /dev {root}/dev", "ip link set lo up 2>/dev/null || true",
        *(f"mount --bind {shlex.quote(str(place))} {root}{volume}"
          for volume, place in volumes.items()),
        f"exec {shlex.join(in_image(image, command))}",
    ]  # fmt: skip
    return subprocess.Popen(
        ["unshare", "--mount", "--pid", "--net", "--fork", "sh", "-c", "; ".join(steps)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def in_image(image: Image, command: list[str]) -> list[str]:
    """A command line that runs a command as the image's user, with its environment."""
    environment = {"PATH": PATH, "HOME": STORE, **image.environment}
    given = [f"{key}={value}" for key, value in environment.items()]
    where = f"cd {shlex.quote(image.folder)} && exec {shlex.join(command)}"
    user = f"{image.user}:{image.user}"
    return ["chroot", f"--userspec={user}", str(image.root), "env", "-i", *given, "sh", "-c", where]


def wait_for_health(image: Image, process: subprocess.Popen[str]) -> Iterator[str]:
    """Run the health check until it succeeds, in the namespaces of a process."""
    until = time.monotonic() + HEALTHY_S
    while True:
        if process.poll() is not None:
            raise SystemExit(f"it ended: {process.stderr.read() if process.stderr else ''}")
        if (inner := child_of(process.pid)) is not None:
            enter = ["nsenter", "--target", str(inner), "--mount", "--pid", "--net"]
            began = time.monotonic()
            check = subprocess.run(
                [*enter, *in_image(image, image.health)], capture_output=True, text=True
            )
            if check.returncode == 0:
                yield f"healthy; the check took {time.monotonic() - began:.2f} s"
                return
        if time.monotonic() > until:
            raise SystemExit(f"it does not become healthy: {check.stderr}")
        time.sleep(1)


def end(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM to the command itself, until it has ended.

    The first process of a container ignores what it has no handler for, as long as it begins. In
    compose.yaml that is a small init, which hands signals on.
    """
    until = time.monotonic() + HEALTHY_S
    while process.poll() is None and time.monotonic() < until:
        if (inner := child_of(process.pid)) is not None:
            os.kill(inner, signal.SIGTERM)
        time.sleep(2)


def child_of(pid: int) -> int | None:
    """The process that a process has started; None before that."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def say(line: str) -> None:
    """Tell what happens."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
