"""How does a submission come about? From a mart, or a nation's registry, to one signed file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from doseatlas.analysis import mart_table
from doseatlas.analysis.corrected import counted_as
from doseatlas.exchange.export import exam_rows, nation_rows, of_months, one_facility, summary_rows
from doseatlas.exchange.keys import public_text
from doseatlas.exchange.merge import all_summaries
from doseatlas.exchange.package import parquet_bytes, write_submission
from doseatlas.exchange.records import SCHEMA_VERSION, Agreement, ExchangeError, Manifest, Sender, check_months
from doseatlas.exchange.registry import load_agreement

if TYPE_CHECKING:
    import pyarrow as pa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def export_facility(
    mart_dir: Path,
    path: Path,
    *,
    sender: str,
    agreement: Agreement,
    key: Ed25519PrivateKey,
    kind: Literal["exams", "summaries"],
    since: str,
    until: str,
    now: dt.datetime,
    version: str,
    facility: str | None = None,
) -> Manifest:
    """Write a facility's submission of the months from ``since`` to ``until`` that its mart has exams of.

    Args:
        mart_dir: the folder of the mart.
        path: where the submission is written.
        sender: the facility's id in the agreement.
        agreement: of the registry.
        key: of the facility.
        kind: exams without identity, or only summaries.
        since: first month, ``YYYY-MM``.
        until: last month.
        now: when this is done.
        version: of the software.
        facility: the name that the mart uses, where it holds several.

    Raises:
        ExchangeError: the key is not that of the sender, the kind is not agreed, or there are no exams.
        OSError: it cannot be written.

    """
    check_months(since, until)
    _check_sender(agreement, sender, key)
    if kind not in agreement.kinds:
        raise ExchangeError(f"Registry {agreement.id} does not take {kind}; it takes {', '.join(agreement.kinds)}.")
    exams = counted_as(mart_table(mart_dir), agreement.dose_values)
    exams = of_months(one_facility(exams, facility), since, until)
    if kind == "exams":
        table, left_out = exam_rows(exams, facility=sender, agreement=agreement, key=key)
    else:
        table, left_out = summary_rows(exams, facility=sender)
    return _write(path, table, left_out, kind, sender, agreement, key, now, version)


def export_nation(
    registry: Path,
    path: Path,
    *,
    sender: str,
    agreement: Agreement,
    key: Ed25519PrivateKey,
    since: str,
    until: str,
    now: dt.datetime,
    version: str,
) -> Manifest:
    """Write a nation's submission to the world's registry: summaries of its facilities, each under a code.

    Args:
        registry: the nation's registry.
        path: where the submission is written.
        sender: the nation's id in the world's agreement.
        agreement: of the world's registry.
        key: of the nation.
        since: first month, ``YYYY-MM``.
        until: last month.
        now: when this is done.
        version: of the software.

    Raises:
        ExchangeError: as :func:`export_facility`, or the agreement does not have the nation send for many.
        OSError: it cannot be written.

    """
    check_months(since, until)
    if _check_sender(agreement, sender, key).sends != "many":
        raise ExchangeError(f"Sender {sender} of registry {agreement.id} sends for one; set sends = 'many'.")
    nation = load_agreement(registry)
    if nation.dose_values != agreement.dose_values:
        raise ExchangeError(
            f"Registry {nation.id} holds {nation.dose_values} doses; registry {agreement.id} takes"
            f" {agreement.dose_values} ones. They are not put together."
        )
    table, left_out = nation_rows(
        all_summaries(registry, since, until), nation=sender, minimum_exams=nation.minimum_exams, key=key
    )
    return _write(path, table, left_out, "summaries", sender, agreement, key, now, version)


def export_withdrawal(
    path: Path, *, sender: str, agreement: Agreement, key: Ed25519PrivateKey, months: tuple[str, ...], now: dt.datetime
) -> Manifest:
    """Write a signed withdrawal of months; submitted, it makes the registry delete what it holds of them.

    Raises:
        ExchangeError: the key is not that of the sender, or no month is named.
        OSError: it cannot be written.

    """
    check_months(*months)
    _check_sender(agreement, sender, key)
    if not months:
        raise ExchangeError("Name the months to withdraw.")
    manifest = Manifest(
        schema=SCHEMA_VERSION,
        registry=agreement.id,
        kind="withdrawal",
        sender=sender,
        months=tuple(sorted(set(months))),
        made_at=now,
        rows=0,
        data_sha256="",
    )
    write_submission(path, manifest, b"", key)
    return manifest


def _check_sender(agreement: Agreement, name: str, key: Ed25519PrivateKey) -> Sender:
    sender = agreement.sender(name)
    if sender is None:
        raise ExchangeError(f"{name!r} is no sender of registry {agreement.id}; its agreement must name you.")
    if sender.public_key != public_text(key):
        raise ExchangeError(f"This is not the key of {name!r} in the agreement: that one is {sender.public_key}.")
    return sender


def _write(
    path: Path,
    table: pa.Table,
    left_out: int,
    kind: Literal["exams", "summaries"],
    sender: str,
    agreement: Agreement,
    key: Ed25519PrivateKey,
    now: dt.datetime,
    version: str,
) -> Manifest:
    months = tuple(sorted(table["month"].unique().to_pylist()))
    if not months:
        raise ExchangeError("No exam of these months counts, so there is nothing to send.")
    manifest = Manifest(
        schema=SCHEMA_VERSION,
        registry=agreement.id,
        kind=kind,
        sender=sender,
        months=months,
        made_at=now,
        rows=table.num_rows,
        data_sha256="",
        dose_values=agreement.dose_values,
        left_out=left_out,
        software=version,
    )
    write_submission(path, manifest, parquet_bytes(table), key)
    return manifest
