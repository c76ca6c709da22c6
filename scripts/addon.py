"""Put the add-on of Home Assistant together: a folder that the Supervisor builds by itself.

    python scripts/addon.py [FOLDER]

FOLDER is build/homeassistant/streamclf by default. Copy it to the share "addons" of a Home
Assistant. Its Dockerfile is this project's own with homeassistant/Dockerfile.end behind it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = ("pyproject.toml", "README.md", "LICENSE", "streamclf", "container/streamclf.toml")
"""What the Dockerfile copies."""
OWN = ("config.yaml", "run.py", "translations")


def assemble(folder: Path) -> None:
    """Write the add-on into a folder, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in BUILT:
        _copy(ROOT / name, folder / name)
    for name in OWN:
        _copy(ROOT / "homeassistant" / name, folder / name)
    shutil.copy(ROOT / "docs" / "how-to" / "add-on.md", folder / "DOCS.md")
    shutil.copy(ROOT / "CHANGELOG.md", folder / "CHANGELOG.md")
    parts = [ROOT / "Dockerfile", ROOT / "homeassistant" / "Dockerfile.end"]
    (folder / "Dockerfile").write_text("".join(part.read_text() for part in parts))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/homeassistant/streamclf"
    assemble(place)
    print(f"{place} is Home Assistant's add-on")
