"""Large letters, out of half blocks: read from across the room."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

HEIGHT = 6
"""Dots of a letter: one for accents, five for the letter. A cell holds two, one above another."""
_BLOCKS = " ▀▄█"
_GLYPHS = {
    "A": ".#. #.# ### #.# #.#",
    "B": "##. #.# ##. #.# ##.",
    "C": ".## #.. #.. #.. .##",
    "D": "##. #.# #.# #.# ##.",
    "E": "### #.. ##. #.. ###",
    "F": "### #.. ##. #.. #..",
    "G": ".## #.. #.# #.# .##",
    "H": "#.# #.# ### #.# #.#",
    "I": "# # # # #",
    "J": "..# ..# ..# #.# .#.",
    "K": "#.# #.# ##. #.# #.#",
    "L": "#.. #.. #.. #.. ###",
    "M": "#...# ##.## #.#.# #...# #...#",
    "N": "#..# ##.# #.## #..# #..#",
    "O": "### #.# #.# #.# ###",
    "P": "##. #.# ##. #.. #..",
    "Q": "### #.# #.# ### ..#",
    "R": "##. #.# ##. #.# #.#",
    "S": ".## #.. .#. ..# ##.",
    "T": "### .#. .#. .#. .#.",
    "U": "#.# #.# #.# #.# ###",
    "V": "#.# #.# #.# #.# .#.",
    "W": "#...# #...# #.#.# ##.## #...#",
    "X": "#.# #.# .#. #.# #.#",
    "Y": "#.# #.# .#. .#. .#.",
    "Z": "### ..# .#. #.. ###",
    "0": ".#. #.# #.# #.# .#.",
    "1": ".# ## .# .# .#",
    "2": "##. ..# .#. #.. ###",
    "3": "##. ..# .#. ..# ##.",
    "4": "#.# #.# ### ..# ..#",
    "5": "### #.. ##. ..# ##.",
    "6": ".## #.. ### #.# ###",
    "7": "### ..# .#. .#. .#.",
    "8": "### #.# ### #.# ###",
    "9": "### #.# ### ..# ##.",
    " ": ".. .. .. .. ..",
    ".": ". . . . #",
    ",": ".. .. .. .# #.",
    "-": ".. .. ## .. ..",
    "+": "... .#. ### .#. ...",
    "'": "# # . . .",
    "’": "# # . . .",
    ":": ". # . # .",
    "/": "..# ..# .#. #.. #..",
    "(": ".# #. #. #. .#",
    ")": "#. .# .# .# #.",
    "&": ".#.. #.#. .#.. #.#. .#.#",
    "_": "... ... ... ... ###",
}
_ACCENTS = {"\u0308": "#.#", "\u0301": "..#", "\u0300": "#..", "\u030a": ".#.", "\u0302": ".#.",
            "\u0303": "##.", "\u030c": ".#.", "\u0304": "###", "\u030b": "#.#"}  # fmt: skip


def letter(text: str, width: int, height: int) -> list[str] | None:
    """Write a text in the largest letters that fit.

    Args:
        text: In any case; written in capitals.
        width: Cells there are.
        height: Rows there are.

    Returns:
        Rows of cells; None where it does not fit, or there is no such letter.
    """
    dots = _dots(text)
    if dots is None:
        return None
    for scale in range(2 * height // HEIGHT, 0, -1):
        if dots.shape[1] * scale <= width:
            return _rows(np.kron(dots, np.ones((scale, scale), dtype=np.uint8)))
    return None


@lru_cache(maxsize=256)
def _dots(text: str) -> npt.NDArray[np.uint8] | None:
    """Dots ``(HEIGHT, columns)``."""
    glyphs: list[npt.NDArray[np.uint8]] = []
    for character in unicodedata.normalize("NFD", text.upper()):
        if character in _ACCENTS and glyphs:
            accent = _bits(_ACCENTS[character])
            width = min(glyphs[-1].shape[1], accent.shape[1])
            glyphs[-1][:1, :width] = accent[:, :width]
            continue
        if character not in _GLYPHS:
            return None
        glyph = _bits(_GLYPHS[character])
        glyphs.append(np.pad(glyph, ((1, 0), (0, 1))))
    if not glyphs:
        return None
    return np.concatenate(glyphs, axis=1)[:, :-1]


def _bits(rows: str) -> npt.NDArray[np.uint8]:
    return np.array([[dot == "#" for dot in row] for row in rows.split()], dtype=np.uint8)


def _rows(dots: npt.NDArray[np.uint8]) -> list[str]:
    padded = np.pad(dots, ((0, len(dots) % 2), (0, 0)))
    cells = padded[::2] + 2 * padded[1::2]
    return ["".join(_BLOCKS[cell] for cell in row) for row in cells.tolist()]
