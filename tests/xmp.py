"""What other programs read in our files: ExifTool where it is installed, else Pillow's own reader.

Both know nothing of us. ExifTool is Debian's `libimage-exiftool-perl`.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from PIL import Image

EXIFTOOL = shutil.which("exiftool")
NAMES = ("DigitalSourceType", "CreatorTool", "Recipe")


def told(path: Path) -> dict[str, str]:
    """The digital source type, the tool and the recipe of a file, by ExifTool's names."""
    return _by_exiftool(path) if EXIFTOOL else _by_pillow(path)


def _by_exiftool(path: Path) -> dict[str, str]:
    assert EXIFTOOL is not None
    words = [EXIFTOOL, "-json", *(f"-XMP:{name}" for name in NAMES), str(path)]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    (found,) = json.loads(run.stdout, parse_int=str, parse_float=str)
    return {name: found[name] for name in NAMES}


def _by_pillow(path: Path) -> dict[str, str]:
    with Image.open(path) as image:
        found: dict[str, Any] = image.getxmp()["xmpmeta"]["RDF"]["Description"]
    return {name: found["recipe" if name == "Recipe" else name] for name in NAMES}
