"""``doseatlas fetch``: take from a PACS what the store lacks, now or again and again."""

from __future__ import annotations

import datetime as dt
import time
import urllib.parse
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, console, print_rows
from doseatlas.cli.store import SinceOption, UntilOption
from doseatlas.model import DoseAtlasError, SettingsError
from doseatlas.settings import ArchiveSettings, Settings, load_settings

if TYPE_CHECKING:
    from doseatlas.fetch import FetchSummary, Query, StudyState

COLUMNS = ("archive", "study date", "modalities", "description", "study", "state", "lacks")


def fetch(
    since: SinceOption = None,
    until: UntilOption = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="Only studies with this modality; repeat for more.")
    ] = None,
    description: Annotated[str, typer.Option(help="Only studies with this text in their description.")] = "",
    archive: Annotated[str | None, typer.Option(help="Only this archive of [fetch] in the settings.")] = None,
    every: Annotated[
        float | None, typer.Option(help="Do it again every so many minutes, until stopped.", min=1)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Look again at what was dealt with before, after a fix.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only list the studies that would be looked at.")] = False,
    lacking: Annotated[
        bool, typer.Option("--lacking", help="Only list studies whose dose is lacking, and why.")
    ] = False,
    form: FormatOption = Format.table,
) -> None:
    """Take from the archives of [fetch] the dose reports that the store lacks, else the least that holds the dose.

    Without dates, the last days (days_back). Interrupt it and run it again: it goes on where it stopped. Exit status 1
    if the dose of a study is lacking.
    """
    from doseatlas import fetch as room

    settings = load_settings().settings
    if lacking:
        _print(room.lacking(settings), form)
        return
    query = _query(settings, since, until, modality, description)
    if preview:
        _print(room.preview(settings, query, archive=archive), form)
        return
    if every is None:
        summaries = _fetch(settings, query, archive, again)
        _print_summaries(summaries, form)
        if any(study.state != "complete" for summary in summaries for study in summary.worked_on):
            raise typer.Exit(EXIT_REFUSED)
        return
    while True:
        try:
            query = _query(settings, since, until, modality, description)  # today moves on
            _print_summaries(_fetch(settings, query, archive, again), form)
        except SettingsError:
            raise
        except DoseAtlasError as error:  # an archive that is down today may be up tomorrow
            console(stderr=True).print(f"doseatlas: {error} Tried again in {every:g} minutes.")
        time.sleep(every * 60)


def _fetch(settings: Settings, query: Query, archive: str | None, again: bool) -> list[FetchSummary]:
    """Say in the audit trail what is asked of whom, fetch, and look for alerts on what arrived, however it ended."""
    from doseatlas import fetch as room
    from doseatlas.audit import AuditTrail, query_event

    room.check(settings.fetch)
    asked = f"{query.since}..{query.until}"
    chosen = [one for one in settings.fetch.archives if archive in (None, one.name)]
    AuditTrail.from_settings(settings).append(
        [query_event(peer=one.name, address=_host(one), query=asked) for one in chosen]
    )
    try:
        summaries = room.fetch(settings, query, archive=archive, again=again)
    except DoseAtlasError:
        with suppress(DoseAtlasError):  # the first failure is the one to tell
            _look()
        raise
    _look()
    return summaries


def _host(archive: ArchiveSettings) -> str:
    if archive.url:
        return urllib.parse.urlsplit(archive.url).hostname or ""
    return archive.address.rpartition(":")[0].strip("[]")


def _look() -> None:
    from doseatlas.cli.alerts import look_and_tell

    with open_store() as store:
        told = look_and_tell(store)
    if told:
        console(stderr=True).print(told)


def _query(
    settings: Settings,
    since: dt.datetime | None,
    until: dt.datetime | None,
    modality: list[str] | None,
    description: str,
) -> Query:
    from doseatlas.fetch import Query

    today = dt.datetime.now().astimezone().date()  # the hospital's day, as studies are dated
    last = until.date() if until else today
    first = since.date() if since else last - dt.timedelta(days=settings.fetch.days_back)
    if first > last:
        raise typer.BadParameter(f"--since {first} is after --until {last}.")
    return Query(since=first, until=last, modalities=tuple(modality or ()), description=description)


def _print_summaries(summaries: list[FetchSummary], form: Format) -> None:
    _print([study for summary in summaries for study in summary.worked_on if study.state != "complete"], form)
    for one in summaries:
        console(stderr=True).print(
            f"{one.archive}: {one.studies} studies, {one.skipped} dealt with before; {one.objects} objects taken, "
            f"{one.imported} new dose objects in the store"
        )


def _print(studies: list[StudyState], form: Format) -> None:
    rows = [
        (
            one.archive,
            one.study_date,
            one.modalities,
            one.description,
            one.study_instance_uid,
            one.state,
            one.lacks or None,
        )
        for one in studies
    ]
    print_rows(COLUMNS, rows, form)
