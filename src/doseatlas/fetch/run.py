"""What does one run do? Finds studies day by day, takes of each what the store lacks, says what is lacking still."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from doseatlas.fetch import needs
from doseatlas.fetch.checking import check, connect
from doseatlas.fetch.incoming import Incoming, objects_in
from doseatlas.fetch.journal import Journal
from doseatlas.fetch.needs import Part
from doseatlas.fetch.pace import Pace
from doseatlas.fetch.records import (
    Archive,
    FetchError,
    FetchSummary,
    FoundSeries,
    FoundStudy,
    Query,
    StudyState,
    state_of,
)
from doseatlas.model import SettingsError
from doseatlas.settings import ArchiveSettings, Settings
from doseatlas.store import Held, Store, held, import_paths

_FAILURES_IN_A_ROW = 5
_ARRIVAL_SECONDS = 10.0  # for what an archive sends to serve to be in the store
_LOOK_SECONDS = 0.5
Sleep = Callable[[float], None]
Bring = Callable[[str, str, Collection[str], Path], list[Path]]
Tell = Callable[[StudyState], None]


def fetch(
    settings: Settings,
    query: Query,
    *,
    archive: str | None = None,
    again: bool = False,
    tell: Tell | None = None,
    sleep: Sleep = time.sleep,
) -> list[FetchSummary]:
    """Fetch from the archives of the settings what the store lacks.

    Args:
        settings: which archives, and the store.
        query: which studies.
        archive: only this one.
        again: look at studies again that were dealt with before, and take again what the store made nothing of.
        tell: called after each study.
        sleep: waits for seconds.

    Raises:
        SettingsError: an archive is not set as it must be.
        FetchError: an archive cannot be asked; what was taken before is kept.
        FolderError: the disk is full or fails; the same.
        StoreError: the store failed; the same.

    """
    chosen = _chosen(settings, archive)
    with Journal(settings.data_path) as journal:
        return [_Run(settings, one, journal, again, tell, sleep).run(query) for one in chosen]


def preview(settings: Settings, query: Query, *, archive: str | None = None) -> list[StudyState]:
    """Return the studies that :func:`fetch` would look at; nothing is taken. Raises as that does."""
    found = []
    with Journal(settings.data_path) as journal:
        for one in _chosen(settings, archive):
            run = _Run(settings, one, journal, False, None, time.sleep)
            found += run.preview(query)
    return found


def lacking(settings: Settings) -> list[StudyState]:
    """Return the studies of which no dose is in the store, and why. Raises :class:`FetchError`."""
    with Journal(settings.data_path) as journal:
        return journal.states("lacking", "failed", "sent")


def _chosen(settings: Settings, name: str | None) -> list[ArchiveSettings]:
    check(settings.fetch)
    chosen = [one for one in settings.fetch.archives if name in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in settings.fetch.archives)
        raise SettingsError(f"There is no archive {name!r} in [fetch]; there are {known}.")
    return chosen


class _NotYet(Exception):
    """What was sent to ``serve`` is not in the store."""


class _Run:
    """One run over one archive."""

    def __init__(
        self,
        settings: Settings,
        archive: ArchiveSettings,
        journal: Journal,
        again: bool,
        tell: Tell | None,
        sleep: Sleep,
    ) -> None:
        self._settings = settings
        self._set = archive
        self._name = archive.name
        self._journal = journal
        self._again = again
        self._tell = tell
        self._sleep = sleep
        self._archive: Archive = connect(archive, settings.fetch)
        self._pace = Pace(settings.fetch.objects_per_minute, sleep=sleep)
        self._incoming = Incoming(journal.folder / archive.name)
        self._skipped = self._objects = self._imported = 0

    def run(self, query: Query) -> FetchSummary:
        """Fetch; see :func:`fetch`."""
        worked_on: list[StudyState] = []
        failures = 0
        with Store.from_settings(self._settings) as self._store:
            try:
                for folder in self._incoming.sealed():
                    self._import(folder)
                self._incoming.forget_old()
                for study in self.wanted(query):
                    state = self._work(study)
                    worked_on.append(state)
                    if self._tell is not None:
                        self._tell(state)
                    failures = failures + 1 if state.state == "failed" else 0
                    if failures == _FAILURES_IN_A_ROW:
                        raise FetchError(f"{failures} studies in a row failed, the last because: {state.lacks}")
            finally:
                self._archive.close()
                self._store.refresh_mart()
        return FetchSummary(
            archive=self._name,
            studies=self._skipped + len(worked_on),
            skipped=self._skipped,
            objects=self._objects,
            imported=self._imported,
            worked_on=tuple(worked_on),
        )

    def wanted(self, query: Query) -> Iterator[FoundStudy]:
        """Give the studies to look at, by day; those dealt with before are counted only."""
        seen = set[str]()
        for day in query.days():
            for modality in query.modalities or ("",):
                for study in self._archive.studies(day, modality):
                    if study.study_instance_uid in seen or not _fits(study, query):
                        continue
                    seen.add(study.study_instance_uid)
                    if not self._again and self._journal.is_settled(self._name, study):
                        self._skipped += 1
                    else:
                        yield study

    def preview(self, query: Query) -> list[StudyState]:
        """Return the studies to look at, as they are found."""
        try:
            return [state_of(self._name, study, "found") for study in self.wanted(query)]
        finally:
            self._archive.close()

    # ---- one study ----

    def _work(self, study: FoundStudy) -> StudyState:
        try:
            why = self._take_least(study.study_instance_uid)
        except FetchError as error:
            return self._journal.record(self._name, study, "failed", str(error))
        except _NotYet:
            why_not = f"what was sent to {self._set.move_to} is not in the store yet, or states no dose"
            return self._journal.record(self._name, study, "sent", why_not)
        return self._journal.record(self._name, study, "lacking" if why else "complete", "; ".join(why))

    def _take_least(self, study: str) -> list[str]:
        """Take the smallest objects that hold the study's dose; returns why there is none, if there is none."""
        series = self._archive.series(study)
        listed = [(one, self._archive.instances(study, one.series_instance_uid)) for one in needs.report_series(series)]
        why = []
        doses = [Part(one.series_instance_uid, needs.of_group(found, "dose-report")) for one, found in listed]
        others = [Part(one.series_instance_uid, needs.of_group(found, "report", "unknown")) for one, found in listed]
        self._take(study, doses, each_counts=True)
        if self._held(study).has_report:
            return []
        self._take(study, others, each_counts=True)
        if self._held(study).has_report:
            return []
        if any(part.instances for part in doses):
            why.append("its dose report states no dose or was refused")
        else:
            why.append("no dose report")
        return [] if self._take_images(study, series, why) else why

    def _take_images(self, study: str, series: Sequence[FoundSeries], why: list[str]) -> bool:
        """Take what images hold the dose; returns whether the store then has any, and adds why not."""
        screens = self._parts(study, needs.screen_series(series), "screen")
        self._take(study, screens)
        if any(part.instances for part in screens) and self._held(study).instances:
            return True
        single = self._parts(study, needs.image_series(series, ["one"]), "image", "unknown")
        self._take_headers(study, [Part(part.series, part.instances[:1]) for part in single])
        self._take_headers(study, self._parts(study, needs.image_series(series, ["each"]), "image", "unknown"))
        whole = needs.image_series(series, ["series"])
        if whole and (self._archive.gives_headers or self._set.whole_ct_series):
            self._take_headers(study, self._parts(study, whole, "image", "unknown"))
        if self._held(study).instances:
            return True
        images = [one for one in series if needs.modalities().get(one.modality) in ("one", "each", "series")]
        if whole and not self._archive.gives_headers and not self._set.whole_ct_series:
            why.append("no dose screen; its CT series were not taken (whole_ct_series = false)")
        else:
            why.append("no dose in its images" if images else "no images of a modality that states a dose")
        return False

    def _parts(self, study: str, series: Sequence[FoundSeries], *groups: needs.Group) -> list[Part]:
        return [
            Part(
                one.series_instance_uid,
                needs.of_group(self._archive.instances(study, one.series_instance_uid), *groups),
            )
            for one in series
        ]

    # ---- taking ----

    def _take(self, study: str, parts: Sequence[Part], *, each_counts: bool = False) -> None:
        self._bring(study, parts, self._archive.take, each_counts)

    def _take_headers(self, study: str, parts: Sequence[Part]) -> None:
        how = self._archive.headers if self._archive.gives_headers else self._archive.take
        self._bring(study, parts, how, each_counts=False)

    def _bring(self, study: str, parts: Sequence[Part], how: Bring, each_counts: bool) -> None:
        """Bring objects that the store lacks and that never came (or to which we come again), and import them.

        Reports count each for itself (``each_counts``); of images a part would look like the whole dose, so they are
        imported when all have come.

        Raises:
            FetchError: not all came.
            _NotYet: they were sent to ``serve`` and are not in the store yet.

        """
        there = self._held(study).instances
        wanted = set[str]()
        for part in parts:
            lacks = [one for one in part.instances if one not in there]
            if not self._again:
                lacks = self._journal.unseen(self._name, lacks)
            wanted.update(lacks)
            if lacks:
                self._objects += self._bring_part(study, Part(part.series, tuple(lacks)), how)
        if not wanted:
            return
        folder = self._incoming.of_study(study)
        if self._archive.sends_elsewhere:
            self._incoming.forget(folder)
            self._journal.add_seen(self._name, wanted)
            self._wait_for(study, wanted)
            return
        arrived = objects_in(folder).keys() & wanted
        if not arrived:
            self._incoming.forget(folder)
        elif each_counts or len(arrived) == len(wanted):
            self._import(self._incoming.seal(study, arrived))
        if len(arrived) < len(wanted):
            raise FetchError(f"{len(wanted) - len(arrived)} of {len(wanted)} objects did not come")

    def _bring_part(self, study: str, part: Part, how: Bring) -> int:
        """Bring objects of a series that a run which broke off has not brought; returns how many were asked for."""
        folder = self._incoming.of_study(study)
        lacks = [one for one in part.instances if one not in objects_in(folder)]
        if not lacks:
            return 0
        self._pace.wait_for(len(lacks))
        came = how(study, part.series, lacks, folder)
        return len(lacks) if self._archive.sends_elsewhere else len(came)

    def _import(self, folder: Path) -> None:
        """Import a folder whose objects are all there, and remove it."""
        files = objects_in(folder)
        if files:
            self._imported += import_paths(self._store, list(files.values()), facility=self._set.facility).imported
            self._journal.add_seen(self._name, files)
        self._incoming.forget(folder)

    def _wait_for(self, study: str, sent: set[str]) -> None:
        """Wait, for a bounded time, until what was sent to ``serve`` is in the store.

        Raises:
            _NotYet: it is not; whether more has to be taken is for the next run to see.

        """
        for _ in range(int(_ARRIVAL_SECONDS / _LOOK_SECONDS)):
            if sent <= self._held(study).instances:
                return
            self._sleep(_LOOK_SECONDS)
        raise _NotYet

    def _held(self, study: str) -> Held:
        return held(self._store, [study]).get(study) or Held()


def _fits(study: FoundStudy, query: Query) -> bool:
    """Return whether a study is what was asked for.

    Archives may ignore a modality that is asked for, and differ in whether upper and lower case are the same in a
    description, so that is not asked for.
    """
    if study.modalities and query.modalities and not set(study.modalities) & set(query.modalities):
        return False
    if query.description.lower() not in study.description.lower():
        return False
    return needs.may_hold_dose(study.modalities)
