"""``doseatlas demo-world``: the national and the international part of the demo, all made up.

Thirty-six facilities in six countries. Each hands its nation a signed submission of counts and sketches; each nation
hands its facilities' summaries, under codes, to the world; and all take part in a study of paediatric CT.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from doseatlas.exchange import Release
    from doseatlas.studies import Study

EXAMS = 400_000
START, END = dt.date(2025, 1, 1), dt.date(2025, 12, 31)
SINCE, UNTIL = "2025-01", "2025-12"
STUDY = "paediatric-ct"
SHOWN = (("ct-head", "adult"), ("ct-chest", "adult"))


def demo_world(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of everything made.")] = Path("demo-world"),
    exams: Annotated[int, typer.Option(min=1000, help="Exams of the made-up world.")] = EXAMS,
) -> None:
    """Show registries and a coordinated study: 36 made-up facilities, six nations, the world."""
    import pyarrow.compute as pc

    from doseatlas.cli.output import console
    from doseatlas.dicom.simulate import mart_arrow, plan
    from doseatlas.dosimetry import with_dosimetry

    facilities = plan("world", exams=exams, seed=1, start=START, end=END).facilities
    countries: dict[str, list[str]] = {}
    with console(stderr=True).status("a made-up world: marts of 36 facilities"):
        table = with_dosimetry(mart_arrow("world", exams, 1, start=START, end=END))
        for number, facility in enumerate(facilities):
            site = f"site-{number + 1:02}"
            countries.setdefault(facility.country, []).append(site)
            _write_mart(output / "marts" / site, table.filter(pc.equal(table["facility"], facility.name)))
        del table
    with console(stderr=True).status("registries of six nations and the world"):
        nations = {country.lower(): _national(output, country, sites) for country, sites in countries.items()}
        world = _world(output, list(nations))
    nation, national = next(iter(nations.items()))
    _tell(national, output / nation)
    _tell(world, output / "world")
    with console(stderr=True).status("a coordinated study"):
        _study(output, {f"site-{n + 1:02}": (one.country, one.name) for n, one in enumerate(facilities)})


def _write_mart(folder: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    (folder / "exams" / "2025").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "exams" / "2025" / "exams.parquet", compression="zstd")


def _national(place: Path, country: str, sites: list[str]) -> Release:
    """Make a nation's registry, have its facilities submit, and release its figures."""
    from doseatlas.exchange import export_facility, load_agreement, load_key, submit

    nation = country.lower()
    _agreement(place, nation, dict.fromkeys(sites, country), "one")
    agreement, now = load_agreement(place / nation), dt.datetime.now(dt.UTC)
    for site in sites:
        file = place / nation / f"{site}.zip"
        export_facility(
            place / "marts" / site,
            file,
            sender=site,
            agreement=agreement,
            key=load_key(place / "keys" / f"{site}.pem"),
            kind="summaries",
            since=SINCE,
            until=UNTIL,
            now=now,
            version=_version(),
        )
        submit(place / nation, file, now)
    return _release(place / nation)


def _world(place: Path, nations: list[str]) -> Release:
    from doseatlas.exchange import export_nation, load_agreement, load_key, submit

    _agreement(place, "world", {nation: nation.capitalize() for nation in nations}, "many")
    agreement, now = load_agreement(place / "world"), dt.datetime.now(dt.UTC)
    for nation in nations:
        file = place / "world" / f"{nation}.zip"
        export_nation(
            place / nation,
            file,
            sender=nation,
            agreement=agreement,
            key=load_key(place / "keys" / f"{nation}.pem"),
            since=SINCE,
            until=UNTIL,
            now=now,
            version=_version(),
        )
        submit(place / "world", file, now)
    return _release(place / "world")


def _agreement(place: Path, registry: str, senders: dict[str, str], sends: str) -> None:
    """Write a registry's agreement; keys are made where there are none yet."""
    from doseatlas.exchange import load_key, make_key, public_text

    (place / registry).mkdir(parents=True, exist_ok=True)
    (place / "keys").mkdir(exist_ok=True)
    text = f'schema = 1\nid = "{registry}"\nname = "made-up registry: {registry}"\n'
    for sender, country in senders.items():
        key = place / "keys" / f"{sender}.pem"
        public = public_text(load_key(key)) if key.exists() else make_key(key)
        text += f'[[senders]]\nid = "{sender}"\ncountry = "{country}"\nsends = "{sends}"\npublic_key = "{public}"\n'
    (place / registry / "registry.toml").write_text(text, encoding="utf-8")


def _release(registry: Path) -> Release:
    from doseatlas.exchange import make_release

    return make_release(registry, since=SINCE, until=UNTIL, now=dt.datetime.now(dt.UTC), version=_version())


def _tell(made: Release, registry: Path) -> None:
    shown = [cell for cell in made.cells if cell.suppressed is None]
    typer.echo(
        f"Release of {made.registry}: {len(shown)} cells, {len(made.cells) - len(shown)} suppressed. For adults:"
    )
    for cell in shown:
        is_shown = (cell.procedure, cell.patient_group) in SHOWN and cell.quantity == "dlp_mgy_cm"
        if is_shown and cell.p75 is not None:
            typer.echo(
                f"  {cell.procedure}, DLP on the {cell.phantom_cm} cm phantom: p75 of {cell.facilities} facilities'"
                f" medians {cell.p75:.0f} mGy·cm, {cell.exams} exams"
            )
    typer.echo(f"  all of it: {(registry / 'releases' / str(made.number) / 'public' / 'release.csv').resolve()}")


def _study(place: Path, sites: dict[str, tuple[str, str]]) -> None:
    from doseatlas.cli.study import write
    from doseatlas.studies import collect, load_study, study_report, template_text

    lines = "".join(
        f'  {{ id = "{site}", country = "{country}", facility = "{name}" }},\n'
        for site, (country, name) in sites.items()
    )
    file = place / f"{STUDY}.toml"
    file.write_text(template_text(STUDY).replace("participants = [\n", f"participants = [\n{lines}"), encoding="utf-8")
    study: Study = load_study(file)
    now = dt.datetime.now().astimezone()
    for site in sites:
        collect(study, place / "marts" / site, place / f"{STUDY}-data", now=now)
    write(study_report(study, place / f"{STUDY}-data", now=now, version=_version()), place / "study")


def _version() -> str:
    from doseatlas import __version__

    return __version__
