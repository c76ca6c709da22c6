"""axe-core, which looks for what people who cannot see a page, or point at it, would miss.

It is fetched by npm once, into ``build/``; tests that need it are skipped where npm has no way to
it.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest

VERSION = "4.14.1"
PLACE = Path(__file__).parents[1] / "build" / f"axe-core-{VERSION}.js"
SERIOUS = """
axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations
  .filter(each => ["serious", "critical"].includes(each.impact))
  .map(each => `${each.id}: ${each.help}: ` +
    each.nodes.slice(0, 3).map(node => node.html.slice(0, 200) + " " +
      node.any.map(check => check.message).join(" ")).join(" | ")))
"""
"""What is serious on a page, a line each."""


@cache
def load_axe() -> str:
    """The script; skips the test if there is no way to it."""
    if not PLACE.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm here")
        PLACE.parent.mkdir(exist_ok=True)
        # A folder of its own, as another process may fetch it at the same time.
        with tempfile.TemporaryDirectory(dir=PLACE.parent) as folder:
            try:
                subprocess.run(
                    ["npm", "pack", "--silent", f"axe-core@{VERSION}"],
                    cwd=folder, check=True, capture_output=True, timeout=120,
                )  # fmt: skip
            except (subprocess.SubprocessError, OSError):
                pytest.skip("npm cannot fetch axe-core")
            packed = Path(folder) / f"axe-core-{VERSION}.tgz"
            with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
                script = archive.extractfile("package/axe.min.js")
                assert script is not None
                partial = Path(folder) / "axe.js"
                partial.write_bytes(script.read())
                partial.replace(PLACE)
    return PLACE.read_text(encoding="utf-8")
