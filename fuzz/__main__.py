"""``python -m fuzz TARGET [FOLDER] [libFuzzer's options]``: search for input that breaks a target's promise.

Input that covers something new is kept in FOLDER, if one is named. Exit status 0 when the time is over and nothing was
found.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped, unused-ignore]

_OPTIONS = ("-max_len=65536", "-timeout=20", "-rss_limit_mb=1024")


def main(name: str, more: list[str]) -> None:
    """Fuzz a target."""
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["doseatlas"]):
        from fuzz.seeds import write_seeds
        from fuzz.targets import TARGETS

    folder = tempfile.mkdtemp(prefix="doseatlas-seeds-")
    write_seeds(name, Path(folder))
    kept = [one for one in more if not one.startswith("-")]
    options = [one for one in more if one.startswith("-")]
    atheris.Setup([sys.argv[0], *_OPTIONS, *options, *kept, folder], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
