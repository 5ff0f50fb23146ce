from __future__ import annotations

import datetime as dt
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.exchange import (
    Accepted,
    ExchangeError,
    Manifest,
    SubmissionRefused,
    check,
    export_facility,
    export_withdrawal,
    load_agreement,
    load_key,
    make_key,
    submit,
)
from doseatlas.exchange.package import parquet_bytes, write_submission
from doseatlas.exchange.registry import current_files
from doseatlas.exchange.tables import columns
from doseatlas.store.files import write_whole

from .conftest import LATER, NOW, Site, ct_exams, new_registry, write_mart

Export = Callable[..., Path]
Send = Callable[..., Accepted]


def contents(path: Path) -> tuple[Manifest, pa.Table]:
    with zipfile.ZipFile(path) as archive:
        manifest = msgspec.json.decode(archive.read("manifest.json"), type=Manifest)
        return manifest, pq.read_table(io.BytesIO(archive.read("data.parquet")))


def resigned(path: Path, site: Site, table: pa.Table, **changes: Any) -> Path:
    """Write the submission again with other rows or another manifest, rightly signed."""
    manifest, _ = contents(path)
    changed = msgspec.structs.replace(manifest, rows=table.num_rows, **changes)
    other = path.with_suffix(".changed.zip")
    write_submission(other, changed, parquet_bytes(table), load_key(site.key))
    return other


def folder_state(registry: Path) -> dict[str, str]:
    return {
        str(file.relative_to(registry)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in registry.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


def refused(registry: Path, path: Path, now: dt.datetime = NOW) -> SubmissionRefused:
    """Submit what must be refused, see that nothing of it stays, and return why."""
    before = folder_state(registry)
    with pytest.raises(SubmissionRefused) as caught:
        submit(registry, path, now)
    assert folder_state(registry) == before
    return caught.value


def test_no_identifier_no_date_no_free_text_and_no_exact_age_leaves_a_facility(
    registry: Path, sites: tuple[Site, ...], export: Export, simulated: pa.Table
) -> None:
    path = export(registry, sites[0], kind="exams")
    _, table = contents(path)
    assert table.schema.names == [column.name for column in columns("exams")]
    assert table.num_rows > 100
    never = {"exam_id", "study_date", "procedure_text", "indication", "protocol", "height_cm"}
    assert not never & set(table.schema.names)
    assert table["age_years"].null_count == table["weight_kg"].null_count == table.num_rows
    assert set(table["age_band"].unique().to_pylist()) >= {"50-60", "80+"}
    content = path.read_bytes()
    for column in ("device", "facility", "exam_id"):
        for name in simulated[column].unique().to_pylist()[:50]:
            assert name.encode() not in content
    assert set(table["facility"].unique().to_pylist()) == {"site-0"}


@pytest.mark.parametrize("kind", ["exams", "summaries"])
def test_free_text_of_the_ris_and_of_devices_is_in_no_submission(
    registry: Path, sites: tuple[Site, ...], export: Export, tmp_path: Path, kind: str
) -> None:
    texts = {name: f"{name} of Madeup" for name in ("procedure_text", "indication", "protocol")}
    mart = write_mart(tmp_path / "told", ct_exams([400.0 + i for i in range(30)], **texts))
    path = export(registry, sites[0]._replace(mart=mart), kind=kind)
    manifest, table = contents(path)
    assert manifest.rows == table.num_rows > 0
    assert "Madeup" not in str(table.to_pylist())
    with zipfile.ZipFile(path) as archive:
        assert all(b"Madeup" not in archive.read(name) for name in archive.namelist())


def test_exact_ages_are_sent_only_where_the_agreement_says_so(
    tmp_path: Path, sites: tuple[Site, ...], export: Export
) -> None:
    agreed = new_registry(tmp_path / "exact", [(sites[0].id, sites[0].key)], "exact_ages = true")
    _, table = contents(export(agreed, sites[0], kind="exams"))
    assert table["age_years"].null_count < table.num_rows


def test_a_registry_holds_stated_or_corrected_doses_and_refuses_the_others(
    tmp_path: Path, sites: tuple[Site, ...], export: Export
) -> None:
    corrected = new_registry(tmp_path / "corrected", [(sites[0].id, sites[0].key)], 'dose_values = "corrected"')
    path = export(corrected, sites[0])
    assert contents(path)[0].dose_values == "corrected"
    (corrected / "registry.toml").write_text(
        (corrected / "registry.toml").read_text().replace('dose_values = "corrected"', "")
    )
    error = refused(corrected, path)
    assert error.code == "dose-values-not-agreed"
    assert "These are corrected doses; this registry takes stated ones" in str(error)


def test_a_submission_is_idempotent_and_a_later_one_of_the_same_months_replaces_it(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    first = export(registry, sites[0])
    assert submit(registry, first, NOW).outcome == "taken"
    state = folder_state(registry)
    assert submit(registry, first, LATER).outcome == "already held"
    assert folder_state(registry) == state

    part = export(registry, sites[0], kind="exams", since="2025-02", until="2025-03", now=LATER)
    assert submit(registry, part, LATER).outcome == "replaced"
    held = {kind: months for kind, _, months in current_files(registry, sites[0].id)}
    assert held == {"exams": ("2025-02", "2025-03"), "summaries": ("2025-01", "2025-04", "2025-05", "2025-06")}


def test_an_earlier_submission_sent_again_after_a_later_one_is_refused_as_a_replay(
    registry: Path, sites: tuple[Site, ...], export: Export, send: Send
) -> None:
    first = export(registry, sites[0])
    send(registry, sites[0], now=LATER)
    error = refused(registry, first)
    assert error.code == "replay"
    assert "2025-01 of site-0 was replaced" in str(error)


def test_a_withdrawal_deletes_the_months_and_what_was_withdrawn_cannot_come_back_by_replay(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], export: Export, send: Send
) -> None:
    first = export(registry, sites[0])
    submit(registry, first, NOW)
    withdrawal = tmp_path / "withdrawal.zip"
    months = tuple(month for _, _, held in current_files(registry, "site-0") for month in held)
    export_withdrawal(
        withdrawal,
        sender="site-0",
        agreement=load_agreement(registry),
        key=load_key(sites[0].key),
        months=months,
        now=LATER,
    )
    assert submit(registry, withdrawal, LATER).outcome == "withdrawn"
    assert list(current_files(registry, "site-0")) == []
    assert not list((registry / "submissions" / "site-0").glob("*.parquet"))
    assert refused(registry, first, LATER).code == "replay"
    again = LATER + dt.timedelta(hours=1)
    assert send(registry, sites[0], now=again).outcome == "replaced"


def test_a_disk_that_fills_while_a_submission_lands_leaves_the_earlier_one_whole(
    registry: Path, sites: tuple[Site, ...], export: Export, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.exchange import registry as module

    send(registry, sites[0])
    held = list(current_files(registry, "site-0"))
    later = export(registry, sites[0], kind="exams", now=LATER)

    def full(file: Path, content: bytes | Callable[[Path], object]) -> None:
        if file.parent.name == "ledger":
            raise OSError(28, "No space left on device")
        write_whole(file, content)

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_whole", full)
        with pytest.raises(OSError, match="No space left"):
            submit(registry, later, LATER)
    assert list(current_files(registry, "site-0")) == held
    assert all(file.exists() for _, file, _ in held)
    assert submit(registry, later, LATER).outcome == "replaced"
    assert [file for _, file, _ in current_files(registry, "site-0")] == list(
        (registry / "submissions" / "site-0").glob("*.parquet")
    )


@pytest.mark.parametrize("month", ["2025", "2025-13", "March", "2025-1", ""])
def test_what_is_no_month_is_told(registry: Path, sites: tuple[Site, ...], export: Export, month: str) -> None:
    with pytest.raises(ExchangeError, match="is no month; write it as 2025-01"):
        export(registry, sites[0], since=month)


def test_withdrawing_what_is_not_held_is_refused(tmp_path: Path, registry: Path, sites: tuple[Site, ...]) -> None:
    path = tmp_path / "w.zip"
    agreement, key = load_agreement(registry), load_key(sites[0].key)
    export_withdrawal(path, sender="site-0", agreement=agreement, key=key, months=("2025-01",), now=NOW)
    assert refused(registry, path).code == "nothing-held"


def test_a_submission_signed_with_another_key_is_refused(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    make_key(tmp_path / "other.pem")
    path = export(registry, sites[0])
    _, table = contents(path)
    error = refused(registry, resigned(path, sites[0]._replace(key=tmp_path / "other.pem"), table))
    assert error.code == "bad-signature"
    assert "signed with another key" in str(error)


def test_a_changed_manifest_or_changed_data_are_refused(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    path = export(registry, sites[0])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changes = {
        "manifest.json": (b'"left_out":', b'"left_out":1', "bad-signature"),
        "data.parquet": (b"PAR1", b"PAR2", "changed-data"),
    }
    for name, (before, after, code) in changes.items():
        other = tmp_path / f"changed-{name}.zip"
        with zipfile.ZipFile(other, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content.replace(before, after, 1) if part == name else content)
        assert refused(registry, other).code == code


def test_an_unknown_sender_and_a_foreign_registry_are_refused(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    elsewhere = new_registry(tmp_path / "elsewhere", [(sites[0].id, sites[0].key)])
    assert refused(registry, export(elsewhere, sites[0])).code == "wrong-registry"
    path = export(registry, sites[0])
    _, table = contents(path)
    assert refused(registry, resigned(path, sites[0], table, sender="nobody")).code == "unknown-sender"


def test_an_old_schema_is_refused_before_anything_else_is_read(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    path = export(registry, sites[0])
    _, table = contents(path)
    error = refused(registry, resigned(path, sites[0], table, schema=0))
    assert error.code == "other-schema"
    assert "schema 0" in str(error)


def test_a_month_in_the_future_is_refused(registry: Path, sites: tuple[Site, ...], export: Export) -> None:
    path = export(registry, sites[0])
    error = refused(registry, path, dt.datetime(2025, 5, 20, tzinfo=dt.UTC))
    assert any("month 2025-06 lies in the future (now 2025-05)" in finding for finding in error.findings)


def test_any_half_of_a_file_is_refused_as_not_whole(registry: Path, sites: tuple[Site, ...], export: Export) -> None:
    path = export(registry, sites[0])
    content = path.read_bytes()
    for part in (0, 10, len(content) // 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:part])
        assert refused(registry, path).code == "not-whole"


def test_half_the_data_rightly_signed_are_refused_as_not_whole(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    path = export(registry, sites[0])
    manifest, table = contents(path)
    content = parquet_bytes(table)
    write_submission(path, manifest, content[: len(content) // 2], load_key(sites[0].key))
    assert refused(registry, path).code == "not-whole"


def test_a_packed_or_foreign_archive_is_refused(tmp_path: Path, registry: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("manifest.json", "manifest.sig", "data.parquet"):
            archive.writestr(name, b"\0" * 10_000_000)
    assert refused(registry, path).code == "not-a-submission"


def test_ctdi_vol_in_gy_is_found_by_its_median(
    tmp_path: Path, export: Export, registry: Path, sites: tuple[Site, ...]
) -> None:
    in_gy = write_mart(tmp_path / "gy", ct_exams([400.0 + i for i in range(20)], ctdi_vol_mgy=0.011))
    path = export(registry, sites[0]._replace(mart=in_gy), kind="exams")
    error = refused(registry, path)
    assert error.findings[0] == (
        "column ctdi_vol_mgy, ct-chest: the median of 20 exams in 2025-03 is 0.011; medians lie from 0.3 to 300."
        " Check the unit. It looks like Gy: multiply by 1000."
    )
    assert error.findings[1].startswith("columns dlp_mgy_cm and ctdi_vol_mgy, ct-chest: their ratio is a scan of 3.7")
    summaries = export(registry, sites[0]._replace(mart=in_gy))
    assert any("looks like Gy" in finding for finding in refused(registry, summaries).findings)


@pytest.mark.parametrize("kind", ["exams", "summaries"])
def test_ctdi_vol_in_gy_is_found_where_each_month_has_few_exams(
    tmp_path: Path, export: Export, registry: Path, sites: tuple[Site, ...], kind: str
) -> None:
    months = [ct_exams([390.0, 400.0, 410.0, 420.0], ctdi_vol_mgy=0.0064, month=f"2025-0{i}") for i in range(1, 7)]
    in_gy = write_mart(tmp_path / "gy", pa.concat_tables(months))
    findings = refused(registry, export(registry, sites[0]._replace(mart=in_gy), kind=kind)).findings
    assert findings[0] == (
        "column ctdi_vol_mgy, ct-chest: the median of 24 exams in 6 months from 2025-01 to 2025-06 is 0.0064; medians"
        " lie from 0.3 to 300. Check the unit. It looks like Gy: multiply by 1000."
    )
    assert [finding.split(",")[0] for finding in findings[1:]] == ["columns dlp_mgy_cm and ctdi_vol_mgy"]


@pytest.mark.parametrize(
    ("dose", "name", "finding"),
    [
        (-1.0, "aapm-96", "column effective_dose_msv: 1 values are outside 0 to 1000 mSv."),
        (4e3, "aapm-96", "column effective_dose_msv: 1 values are outside 0 to 1000 mSv."),
        (4.0, "my own", "column effective_dose_set: 'my own' is not known"),
        (4.0, None, "columns effective_dose_msv and effective_dose_set: 1 rows have one without the other."),
    ],
)
def test_an_effective_dose_is_of_a_known_set_and_possible(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], export: Export, dose: float, name: str | None, finding: str
) -> None:
    one = ct_exams([400.0], effective_dose_msv=5.6, effective_dose_set="aapm-96")
    site = sites[0]._replace(mart=write_mart(tmp_path / "one", one))
    path = export(registry, site, kind="exams")
    _, table = contents(path)
    assert table.select(["effective_dose_msv", "effective_dose_set"]).to_pylist() == [
        {"effective_dose_msv": 5.6, "effective_dose_set": "aapm-96"}
    ]
    (row,) = table.to_pylist()
    wrong = pa.Table.from_pylist([{**row, "effective_dose_msv": dose, "effective_dose_set": name}], table.schema)
    findings = refused(registry, resigned(path, site, wrong)).findings
    assert findings[0].startswith(finding)


def test_an_effective_dose_that_the_registry_would_refuse_is_not_sent(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    doses = [(float("nan"), "aapm-96"), (4e3, "aapm-96"), (4.0, "my own"), (4.0, None), (4.0, "aapm-96")]
    rows = [ct_exams([400.0], effective_dose_msv=dose, effective_dose_set=name) for dose, name in doses]
    path = export(registry, sites[0]._replace(mart=write_mart(tmp_path / "m", pa.concat_tables(rows))), kind="exams")
    _, table = contents(path)
    assert sorted(table["effective_dose_msv"].to_pylist(), key=str) == [4.0, None, None, None, None]
    assert sorted(table["effective_dose_set"].to_pylist(), key=str) == [None, None, None, None, "aapm-96"]
    assert check(path, load_agreement(registry), NOW).manifest.rows == 5


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("procedure", "ct-nothing", "column procedure: 'ct-nothing' is not known"),
        ("patient_group", "grown-ups", "column patient_group: 'grown-ups' is not known"),
        ("month", "2024-12", "column month: '2024-12' is not among the manifest's months"),
        ("facility", "site-1", "column facility: 'site-1' is not 'site-0', who signed"),
        ("phantom_cm", 20, "column phantom_cm: [20] is neither 16 nor 32"),
        ("plausible", False, "column plausible: must be true"),
        ("dlp_mgy_cm", 1e9, "column dlp_mgy_cm: "),
        ("dlp_mgy_cm", float("nan"), "column dlp_mgy_cm: "),
        ("age_years", 54.0, "column age_years: the agreement asks for bands only"),
    ],
)
def test_a_value_that_the_schema_does_not_allow_is_named(
    registry: Path, sites: tuple[Site, ...], export: Export, column: str, value: object, finding: str
) -> None:
    path = export(registry, sites[0], kind="exams")
    _, table = contents(path)
    place = table.schema.get_field_index(column)
    wrong = table.set_column(place, table.field(place), pa.array([value] * table.num_rows, table.field(place).type))
    error = refused(registry, resigned(path, sites[0], wrong))
    assert any(text.startswith(finding) for text in error.findings), error.findings


def test_columns_that_are_missing_foreign_or_of_another_type_are_named(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    path = export(registry, sites[0], kind="exams")
    _, table = contents(path)
    wrong = table.drop_columns(["sex"]).append_column("patient_name", pa.nulls(table.num_rows, pa.string()))
    place = wrong.schema.get_field_index("frames")
    wrong = wrong.set_column(place, "frames", wrong["frames"].cast(pa.float64()))
    assert refused(registry, resigned(path, sites[0], wrong)).findings == (
        "column sex: missing.",
        "column frames: is double, must be int32.",
        "column patient_name: is not of the schema and may not be sent.",
    )


def test_a_sketch_that_is_cut_or_of_other_exams_is_named_by_its_row(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    path = export(registry, sites[0])
    _, table = contents(path)
    rows = table.to_pylist()
    rows[1]["sketch"] = rows[1]["sketch"][:-4]
    rows[2]["n"] += 1
    rows[3] = dict(rows[4])
    wrong = pa.Table.from_pylist(rows, table.schema)
    findings = refused(registry, resigned(path, sites[0], wrong)).findings
    assert [finding.split(":")[0] for finding in findings] == ["row 2, column sketch", "row 3, column sketch", "row 5"]


def test_what_the_registry_would_refuse_can_be_known_beforehand(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    path = export(registry, sites[0])
    assert check(path, load_agreement(registry), NOW).manifest.sender == "site-0"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(SubmissionRefused):
        check(path, load_agreement(registry), NOW)


def test_a_key_that_is_not_the_senders_is_told_at_the_export(
    registry: Path, sites: tuple[Site, ...], export: Export
) -> None:
    with pytest.raises(ExchangeError, match="not the key of 'site-0'"):
        export(registry, sites[0]._replace(key=sites[1].key))


def test_a_key_file_is_never_overwritten_and_is_read_only_by_its_owner(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    make_key(key)
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(ExchangeError, match="never overwritten"):
        make_key(key)


@given(st.lists(st.tuples(st.integers(0, 200_000), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
def test_a_damaged_submission_is_refused_or_unchanged_and_never_raises_anything_else(
    sound: tuple[Path, Path], damages: list[tuple[int, bytes]]
) -> None:
    registry, path = sound
    content = bytearray(path.read_bytes())
    for place, other in damages:
        place %= len(content)
        content[place : place + len(other)] = other
    damaged = path.with_name("damaged.zip")
    damaged.write_bytes(content)
    try:
        check(damaged, load_agreement(registry), NOW)
    except SubmissionRefused:
        return


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A registry and a sound submission to it."""
    folder = tmp_path_factory.mktemp("sound")
    make_key(folder / "key.pem")
    registry = new_registry(folder / "registry", [("one", folder / "key.pem")])
    mart = write_mart(folder / "mart", ct_exams([400.0 + i for i in range(30)]))
    export_facility(
        mart,
        folder / "sound.zip",
        sender="one",
        agreement=load_agreement(registry),
        key=load_key(folder / "key.pem"),
        kind="summaries",
        since="2025-01",
        until="2025-12",
        now=NOW,
        version="test",
    )
    return registry, folder / "sound.zip"
