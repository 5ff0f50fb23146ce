"""The tables of this room: which region, examination or agent a procedure or a stated name stands for."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from doseatlas.model import Record
from doseatlas.reference import number, read_rows

TABLES = Path(__file__).parent / "tables"


class CtRegions(Record, frozen=True, kw_only=True):
    """Regions of a CT procedure, and whether SSDE takes it for a head or a body scan (``None``: neither by itself)."""

    regions: frozenset[str]
    size_region: str | None


class NuclearAgent(Record, frozen=True, kw_only=True):
    """What a radiopharmaceutical is called in coefficient tables; ``assumption`` says what is taken for granted.

    Its name holds one of ``words``; one with a plus, such as ``mibi+stress``, stands for all of its parts.
    """

    nuclide: str
    words: tuple[str, ...]
    procedure: str | None
    agent: str | None
    card_exam: str | None
    consensus_exam: str | None
    assumption: str | None


class MammographyTechnique(Record, frozen=True, kw_only=True):
    """A usual pair of anode and filter with its range of tube voltage."""

    anode: str
    filter: str
    kvp_low: float
    kvp_high: float


@cache
def ct_regions() -> dict[str, CtRegions]:
    """Return the regions of each CT procedure that has coefficients."""
    rows = read_rows(TABLES / "ct_regions.csv", ("procedure", "regions", "size_region", "source"))
    return {
        row["procedure"]: CtRegions(regions=frozenset(row["regions"].split()), size_region=row["size_region"] or None)
        for _, row in rows
    }


@cache
def flag_meanings() -> dict[str, str]:
    """Return what each code of a flag, or of a reason for no value, means."""
    return {row["code"]: row["meaning"] for _, row in read_rows(TABLES / "flags.csv", ("code", "meaning"))}


@cache
def target_regions() -> dict[tuple[str, str], str]:
    """Return the region by scheme and code of an event's target region."""
    rows = read_rows(TABLES / "target_regions.csv", ("scheme", "code", "region", "meaning", "source"))
    return {(row["scheme"], row["code"]): row["region"] for _, row in rows}


@cache
def projection_examinations() -> dict[str, str]:
    """Return the examination of the KAP coefficients by procedure."""
    rows = read_rows(TABLES / "projection_examinations.csv", ("procedure", "exam", "source"))
    return {row["procedure"]: row["exam"] for _, row in rows}


@cache
def nuclear_agents() -> tuple[NuclearAgent, ...]:
    """Return the agents, those of one procedure before the general ones."""
    names = ("nuclide", "words", "procedure", "agent", "card_exam", "consensus_exam", "assumption")
    return tuple(
        NuclearAgent(
            nuclide=row["nuclide"],
            words=tuple(row["words"].split("|")),
            procedure=row["procedure"] or None,
            agent=row["agent"] or None,
            card_exam=row["card_exam"] or None,
            consensus_exam=row["consensus_exam"] or None,
            assumption=row["assumption"] or None,
        )
        for _, row in read_rows(TABLES / "nuclear_agents.csv", names)
    )


@cache
def mammography_techniques() -> dict[tuple[str, str], MammographyTechnique]:
    """Return the usual techniques by anode and filter symbol."""
    path = TABLES / "mammography_techniques.csv"
    rows = read_rows(path, ("anode", "filter", "kvp_low", "kvp_high", "source", "verified"))
    return {
        (row["anode"], row["filter"]): MammographyTechnique(
            anode=row["anode"],
            filter=row["filter"],
            kvp_low=number(path, line, row, "kvp_low"),
            kvp_high=number(path, line, row, "kvp_high"),
        )
        for line, row in rows
    }


# Names of the elements as consoles write them, without accents: English, French, German, Italian, Spanish.
_ELEMENTS = {
    "f": ("fluorine", "fluor", "fluoro"),
    "tc": ("technetium", "tecnezio", "tecnecio"),
    "i": ("iodine", "iode", "jod", "iod", "iodio", "yodo"),
    "ga": ("gallium", "gallio", "galio"),
    "in": ("indium", "indio"),
    "tl": ("thallium", "tallio", "talio"),
    "rb": ("rubidium", "rubidio"),
    "n": ("nitrogen", "azote", "stickstoff", "azoto", "nitrogeno"),
    "o": ("oxygen", "oxygene", "sauerstoff", "ossigeno", "oxigeno"),
}
_SYMBOLS = {name: symbol for symbol, names in _ELEMENTS.items() for name in (symbol, *names)}
_NAMES = "|".join(sorted(_SYMBOLS, key=len, reverse=True))
_NUCLIDE = re.compile(
    rf"(?<![a-z])({_NAMES})[^a-z0-9]{{0,3}}(\d{{2,3}}m?)(?![a-z0-9])"
    rf"|(?<![a-z0-9])(\d{{2,3}}m?)[^a-z0-9]{{0,3}}({_NAMES})(?![a-z])"
)


def _plain(text: str) -> str:
    """Return lower case without accents."""
    return "".join(one for one in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(one))


@lru_cache(maxsize=4096)
def nuclide_of(text: str) -> str | None:
    """Return the nuclide that a text names (``^18^Fluorine``, ``99mTc``) as ``f-18``, ``None`` where none."""
    found = _NUCLIDE.search(_plain(text))
    if found is None:
        return None
    name, mass = (found[1], found[2]) if found[1] else (found[4], found[3])
    return f"{_SYMBOLS[name]}-{mass}"


@lru_cache(maxsize=4096)
def nuclear_agent(
    radiopharmaceutical: str | None, radionuclide: str | None, procedure: str | None
) -> NuclearAgent | None:
    """Return the agent that a stated name and nuclide mean, ``None`` where the tables don't know it.

    The nuclide must be stated, by itself or in the name: one carrier with two nuclides has two doses.
    """
    name = _plain(radiopharmaceutical or "")
    nuclide = nuclide_of(radionuclide or "") or nuclide_of(name)
    known = [
        row
        for row in nuclear_agents()
        if row.nuclide == nuclide and any(all(part in name for part in word.split("+")) for word in row.words)
    ]
    return next((row for row in known if row.procedure == procedure), None) or next(
        (row for row in known if row.procedure is None), None
    )
