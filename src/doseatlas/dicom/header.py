"""Who, where, when: what every object states of patient, device and study, whatever else it holds."""

from __future__ import annotations

import datetime as dt
import re

from doseatlas.dicom.item import Item
from doseatlas.dicom.notes import Notes
from doseatlas.model import Code, Device, Identity, Patient, Pregnancy

SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
MODALITY = 0x00080060
_STUDY_DATE, _STUDY_TIME = 0x00080020, 0x00080030
_OTHER_DATES = (
    (0x00080022, "acquisition"),
    (0x00080021, "series"),
    (0x00080023, "content"),
    (0x00400244, "procedure step"),
)
_PROCEDURE_TEXTS = (0x00081030, 0x00321060, 0x00400254)
_PROCEDURE_CODES = (0x00081032, 0x00321064)
_REFERENCED_REQUEST = 0x0040A370
_PREDECESSORS = 0x0040A360
_PREGNANCY = 0x001021C0
_DAYS_A_YEAR = 365.2425
_AGE_UNITS = {"D": 1 / _DAYS_A_YEAR, "W": 7 / _DAYS_A_YEAR, "M": 1 / 12, "Y": 1.0}
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_TOLERATED_AGE_DIFFERENCE_YEARS = 1.1
_YOUNG_YEARS = 2


def date_of(text: str | None) -> dt.date | None:
    """A date (DA: YYYYMMDD, or the earlier YYYY.MM.DD); ``None`` when it is not one."""
    digits = (text or "").replace(".", "").replace("-", "")[:8]
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) if len(digits) == 8 else None
    except ValueError:
        return None


def instant_of(text: str | None) -> str | None:
    """A date and time (DT) in ISO 8601 as stated; text that is not one is kept as it is."""
    if not text:
        return None
    match = re.match(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})?(\d{2})?(\.\d+)?)?([+-]\d{4})?$", text)
    if match is None:
        return text
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    date = f"{year}-{month}-{day}"
    if hour is None:
        return date
    offset = f"{zone[:3]}:{zone[3:]}" if zone else ""
    return f"{date}T{hour}:{minute or '00'}:{second or '00'}{fraction or ''}{offset}"


def time_of(text: str | None) -> str | None:
    """A time (TM) in ISO 8601, to the second; ``None`` when it is not one."""
    digits = (text or "").replace(":", "").split(".")[0]
    if len(digits) not in (4, 6) or not digits.isdigit():
        return None
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:6] or '00'}"


def study_date_of(item: Item, started_at: str | None, notes: Notes) -> str | None:
    """The date of the study; where none is stated, another date of the object, with a note that says which."""
    stated = date_of(item.text(_STUDY_DATE))
    if stated:
        return stated.isoformat()
    if started_at and date_of(started_at[:10]):
        notes.add("study-date-from-elsewhere", "No study date is stated; the date is that of the first irradiation")
        return started_at[:10]
    for tag, name in _OTHER_DATES:
        found = date_of(item.text(tag))
        if found:
            notes.add("study-date-from-elsewhere", f"No study date is stated; the date is the {name} date")
            return found.isoformat()
    return None


def study_time_of(item: Item) -> str | None:
    """The time of the study, ISO 8601."""
    return time_of(item.text(_STUDY_TIME))


def content_at_of(item: Item) -> str | None:
    """When the content was created: later content corrects earlier content."""
    date, time = date_of(item.text(0x00080023)), time_of(item.text(0x00080033))
    return None if date is None else f"{date.isoformat()}T{time or '00:00:00'}"


def device_of(item: Item) -> Device:
    """The device of the equipment module (PS3.3 C.7.5.1)."""
    return Device(
        manufacturer=item.text(0x00080070),
        model=item.text(0x00081090),
        serial_number=item.text(0x00181000),
        station_name=item.text(0x00081010),
        institution=item.text(0x00080080),
        software_versions=item.text(0x00181020),
    )


def station_of_step(item: Item) -> str | None:
    """Where a procedure step was performed (PS3.3 C.4.14): its station's name, else its AE title."""
    return item.text(0x00400242) or item.text(0x00400241)


def identity_of(item: Item) -> Identity:
    """Whose object it is; kept apart from the exam."""
    return Identity(
        patient_id=item.text(0x00100020),
        issuer=item.text(0x00100021),
        accession_number=item.text(0x00080050),
        birth_date=date_of(item.text(0x00100030)),
        patient_name=item.text(0x00100010),
    )


def patient_of(item: Item, study_date: str | None, notes: Notes) -> Patient:
    """Age, sex, height and weight; a zero is not a value, and a note says that it stood there."""
    sex = item.text(0x00100040)
    return Patient(
        age_years=_age(item, study_date, notes),
        sex=sex.upper() if sex and sex.upper() in ("M", "F", "O") else None,
        height_cm=_height(item.number(0x00101020), notes),
        weight_kg=_positive(item.number(0x00101030), "weight", notes),
        pregnancy_status=_pregnancy(item.number(_PREGNANCY), notes),
    )


def _pregnancy(status: float | None, notes: Notes) -> Pregnancy | None:
    """Whether the patient is pregnant (PS3.3 C.7.2.3); 4, unknown, is not stated."""
    match status:
        case 1:
            return "not pregnant"
        case 2:
            notes.add("pregnancy", "The patient is possibly pregnant")
            return "possibly pregnant"
        case 3:
            notes.add("pregnancy", "The patient is pregnant")
            return "definitely pregnant"
    return None


def _age(item: Item, study_date: str | None, notes: Notes) -> float | None:
    stated = stated_age_years(item.text(0x00101010))
    birth, study = date_of(item.text(0x00100030)), date_of(study_date)
    if birth is None or study is None or birth > study:
        return stated
    exact = _years_between(birth, study)
    if stated is not None and abs(exact - stated) > _TOLERATED_AGE_DIFFERENCE_YEARS:
        notes.add(
            "age-differs-from-birth-date", f"The age stated is {stated:g} years, by the birth date it is {exact:g}"
        )
        return stated
    return exact


def _years_between(birth: dt.date, day: dt.date) -> float:
    """An age in years, to 0.1 (below two years 0.001), but never rounded up to a birthday that is yet to come."""
    whole = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
    digits = 3 if whole < _YOUNG_YEARS else 1
    exact = round((day - birth).days / _DAYS_A_YEAR, digits)
    return min(max(exact, float(whole)), round(whole + 1 - 10.0**-digits, digits))


def stated_age_years(text: str | None) -> float | None:
    """An age (AS: nnnD, nnnW, nnnM, nnnY) in years; ``None`` when it is not one."""
    match = _AGE.fullmatch((text or "").upper())
    return round(int(match[1]) * _AGE_UNITS[match[2]], 3) if match else None


def _height(metres: float | None, notes: Notes) -> float | None:
    height = _positive(metres, "height", notes)
    if height is None:
        return None
    if 30 <= height <= 260:
        notes.add(
            "vendor-correction", "The height is stated in m by the standard; as metres it is impossible, so it is cm"
        )
        return height
    return round(height * 100, 2)


def _positive(value: float | None, name: str, notes: Notes) -> float | None:
    if value is not None and value <= 0:
        notes.add("patient-value-not-stated", f"The patient's {name} is {value:g}, which states nothing")
        return None
    return value


def procedure_of(item: Item) -> str | None:
    """The procedure as text: study, request, performed step, else the words of the procedure code."""
    sources = [item, *item.items(_REFERENCED_REQUEST)]
    for tag in _PROCEDURE_TEXTS:
        for source in sources:
            if text := source.text(tag):
                return text
    codes = procedure_codes_of(item)
    return next((code.meaning for code in codes if code.meaning), None) or item.text(0x00181030)


def procedure_codes_of(item: Item) -> tuple[Code, ...]:
    """The coded procedure, as performed and as requested."""
    found = [code for tag in _PROCEDURE_CODES for code in map(code_of, item.items(tag)) if code]
    found += [
        code for request in item.items(_REFERENCED_REQUEST) for code in map(code_of, request.items(0x00321064)) if code
    ]
    return tuple(dict.fromkeys(found))


def code_of(item: Item) -> Code | None:
    """The code of one item of a code sequence (PS3.3 table 8.8-1)."""
    value = item.text(0x00080100) or item.text(0x00080119) or item.text(0x00080120)
    return (
        None if value is None else Code(value=value, scheme=item.text(0x00080102) or "", meaning=item.text(0x00080104))
    )


def predecessors_of(item: Item) -> tuple[str, ...]:
    """SOP Instance UIDs of the documents that this one replaces (Predecessor Documents Sequence)."""
    uids = (
        reference.text(0x00081155)
        for study in item.items(_PREDECESSORS)
        for series in study.items(0x00081115)
        for reference in series.items(0x00081199)
    )
    return tuple(uid for uid in uids if uid)
