"""What is wrong with the settings is found before the first peer is let in, and named."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
from pathlib import Path

import pytest
import trustme
from tests.service.peers import DOSEATLAS, free_port

from doseatlas.model import SettingsError
from doseatlas.service.callers import Callers, Tokens
from doseatlas.service.checking import bind, check
from doseatlas.settings import CallerSettings, FolderSettings, ServiceSettings, Settings, TokenSettings


def settings(tmp_path: Path, **service: object) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"), service=ServiceSettings(**service))  # type: ignore[arg-type]


def test_the_defaults_are_in_order(tmp_path: Path) -> None:
    check(settings(tmp_path))


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"ae_title": ""}, "ae_title"),
        ({"ae_title": "MORE THAN SIXTEEN CHARACTERS"}, "ae_title"),
        ({"dicom_port": 70000}, "dicom_port"),
        ({"dicom_port": 8080, "http_port": 8080}, "one port twice"),
        ({"dicom_port": 0, "http_port": 0}, "nothing to serve"),
        ({"max_associations": 0}, "max_associations"),
        ({"max_pdu_kibibytes": 1}, "max_pdu_kibibytes"),
        ({"stall_seconds": -1.0}, "stall_seconds"),
        ({"grace_seconds": -1.0}, "grace_seconds"),
        ({"host": "hospital"}, "host"),
        ({"host": "0.0.0.0"}, "names no callers"),
        ({"host": "0.0.0.0", "callers": (CallerSettings(ae_title="CT1"),)}, "names no tokens"),
        ({"callers": (CallerSettings(ae_title="CT1", addresses=("10.0.0.256",)),)}, r"10\.0\.0\.256"),
        ({"callers": (CallerSettings(ae_title="MORE THAN SIXTEEN CHARACTERS"),)}, "no AE title"),
        ({"callers": (CallerSettings(ae_title="CT1", commitment_address="10.0.0.1"),)}, "host:port"),
        ({"ae_title": "DOSE\tATLAS"}, "ae_title"),
        ({"stall_seconds": float("nan")}, "stall_seconds is nan"),
        ({"idle_seconds": float("inf")}, "idle_seconds is inf"),
        ({"grace_seconds": float("nan")}, "grace_seconds is nan"),
        ({"callers": (CallerSettings(ae_title="CT\t1"),)}, "no AE title"),
        (
            {"callers": (CallerSettings(ae_title="CT1", max_associations=-5),)},
            "max_associations of the caller 'CT1' in .* is -5",
        ),
        ({"host": "0.0.0.0", "callers": (CallerSettings(ae_title="*"),)}, "lets anyone send"),
        ({"folders": (FolderSettings(path="/no/such/folder"),)}, "/no/such/folder"),
        ({"tokens": (TokenSettings(file="/no/such/token", name="pacs"),)}, "/no/such/token"),
        ({"dicom_tls_port": 2762}, "certificate and private_key"),
        ({"dicom_tls_port": 2762, "certificate": "/no.pem", "private_key": "/no.pem"}, r"/no\.pem"),
        ({"certificate": "/no.pem"}, "neither dicom_tls_port nor https_port"),
    ],
)
def test_a_setting_that_cannot_work_is_named(tmp_path: Path, service: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check(settings(tmp_path, **service))


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        (("CT1", ()), ("CT1", ("10.1.2.3",)), False),
        (("*", ()), ("CT1", ("10.1.2.3",)), False),
        (("CT1", ("10.1.0.0/16",)), ("CT1", ("10.1.2.3",)), False),
        (("CT1", ("10.1.2.3",)), ("CT1", ("10.1.2.3", "10.1.2.4")), False),
        (("CT1", ("10.1.2.3",)), ("CT1", ("10.1.0.0/16",)), True),
        (("CT1", ("10.1.2.3",)), ("CT1", ()), True),
        (("CT1", ("10.1.2.3",)), ("CT2", ("10.1.2.3",)), True),
        (("CT1", ("::1",)), ("CT1", ("10.1.2.3",)), True),
    ],
)
def test_callers_of_whom_one_takes_the_others_peers_are_named(
    tmp_path: Path, first: tuple[str, tuple[str, ...]], second: tuple[str, tuple[str, ...]], reached: bool
) -> None:
    rows = tuple(CallerSettings(ae_title=title, addresses=addresses) for title, addresses in (first, second))
    if reached:
        check(settings(tmp_path, callers=rows))
        return
    with pytest.raises(SettingsError, match="is never reached"):
        check(settings(tmp_path, callers=rows))


def test_a_store_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not the URL of an SQLite or PostgreSQL database"):
        check(Settings(data_dir=str(tmp_path), store="mysql://x"))


@pytest.mark.parametrize("names", [["data"], ["data/in"], [""], ["drop", "drop/sub"], ["drop", "link"]])
def test_watched_folders_that_hold_the_data_or_one_another_are_named(tmp_path: Path, names: list[str]) -> None:
    for name in ("data/in", "drop/sub"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "drop")
    folders = tuple(FolderSettings(path=str(tmp_path / name)) for name in names)
    with pytest.raises(SettingsError, match="one is in the other"):
        check(settings(tmp_path, folders=folders))


def test_certificates_that_have_expired_or_do_not_fit_are_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    good, old = authority.issue_cert("a.example"), authority.issue_cert("a.example", not_after=past)
    for name, issued in (("good", good), ("old", old)):
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    (tmp_path / "none.pem").write_text("no certificate")
    for certificate, key, words in (
        ("old.pem", "old.key", f"expired on {past:%Y-%m-%d}"),
        ("good.pem", "old.key", "do not belong together"),
        ("none.pem", "good.key", "does not hold a PEM certificate"),
    ):
        paths = {"certificate": str(tmp_path / certificate), "private_key": str(tmp_path / key)}
        with pytest.raises(SettingsError, match=words):
            check(settings(tmp_path, dicom_tls_port=2762, **paths))
    paths = {"certificate": str(tmp_path / "good.pem"), "private_key": str(tmp_path / "good.key")}
    check(settings(tmp_path, dicom_tls_port=2762, **paths))
    with pytest.raises(SettingsError, match="trusted_certificates"):
        check(settings(tmp_path, dicom_tls_port=2762, trusted_certificates=str(tmp_path / "none.pem"), **paths))


def test_a_port_in_use_is_named_and_the_others_are_let_go(tmp_path: Path) -> None:
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"http_port: port {taken} on 127.0.0.1 is in use"):
            bind(ServiceSettings(dicom_port=free, http_port=taken))
    socket.create_server(("127.0.0.1", free)).close()


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(SettingsError, match=str(tmp_path / "data")):
        check(settings(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [("[service]\ndicom_prot = 104\n", "dicom_prot"), ("[[service.callers]]\naddresses = []\n", "ae_title")],
)
def test_the_command_leaves_with_status_2_and_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "doseatlas.toml").write_text(text)
    env = {**os.environ, "HOME": str(tmp_path), "DOSEATLAS_DATA_DIR": str(tmp_path / "data")}
    for arguments in (["serve"], ["serve", "--check"]):
        done = subprocess.run(
            [DOSEATLAS, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_callers_are_found_by_title_and_address() -> None:
    rows = (
        CallerSettings(ae_title="CT1", addresses=("10.1.0.0/16", "fd00::/8"), facility="North"),
        CallerSettings(ae_title="*", addresses=("10.2.0.1",), facility="South"),
    )
    callers = Callers(ServiceSettings(callers=rows))
    for title, address, facility in (
        ("CT1", "10.1.2.3", "North"),
        ("CT1", "::ffff:10.1.2.3", "North"),
        ("CT1", "fd00::1%eth0", "North"),
        ("CT9", "10.2.0.1", "South"),
    ):
        found = callers.find(title, address)
        assert found is not None
        assert found.facility == facility
    for title, address in (("CT9", "10.1.2.3"), ("CT1", "10.3.0.1"), ("ct1", "10.1.2.3"), ("", "127.0.0.1")):
        assert callers.find(title, address) is None


def test_without_callers_only_this_machine_is_let_in() -> None:
    assert Callers(ServiceSettings()).find("ANY", "127.0.0.1")
    assert Callers(ServiceSettings()).find("ANY", "10.0.0.1") is None
    assert Callers(ServiceSettings(anyone=True)).find("ANY", "10.0.0.1")


def test_a_token_too_short_to_be_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(SettingsError, match="at least 16"):
        Tokens([TokenSettings(file=str(tmp_path / "token"), name="pacs")])
