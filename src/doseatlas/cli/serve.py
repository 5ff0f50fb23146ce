"""``doseatlas serve``: receive dose objects until told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from doseatlas.settings import load_settings


def serve(
    check: Annotated[bool, typer.Option("--check", help="Only check the settings: exit status 0 or 2.")] = False,
) -> None:
    """Receive dose objects by DICOM and DICOMweb and from watched folders; see docs/hospital.md.

    Settings: [service] in the settings file. Events go to standard error, one JSON object a line. SIGTERM or Ctrl-C
    stops it: running transfers are finished first. Exit status 2 if it cannot run as it is set.
    """
    settings = load_settings().settings
    if check:
        from doseatlas.service import check as check_settings

        check_settings(settings)
        typer.echo("The settings of the service are in order.")
        return
    from doseatlas.service import serve as run

    run(settings)
