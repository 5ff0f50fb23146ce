"""TLS for both sides, spoken between two contexts; files that cannot be used are named with their setting."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme

from doseatlas.model import SettingsError
from doseatlas.network import client_context, server_context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of a server, of a peer, of one that has expired, of one that is not valid yet."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "stranger-ca.pem")
    day, now = dt.timedelta(days=1), dt.datetime.now(dt.UTC)
    for name, issued in {
        "server": authority.issue_cert("pacs.example"),
        "peer": authority.issue_cert("ct1.example"),
        "stranger": stranger.issue_cert("ct1.example"),
        "old": authority.issue_cert("pacs.example", not_after=now - day),
        "early": authority.issue_cert("pacs.example", not_before=now + day, not_after=now + 2 * day),
    }.items():
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "none.pem").write_bytes(b"\xff no certificate")
    return folder


def own(folder: Path, name: str) -> tuple[str, str]:
    return str(folder / f"{name}.pem"), str(folder / f"{name}.key")


def agreed(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "pacs.example") -> str | None:
    """Speak TLS in memory and return the version that both agreed on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for side in sides:
            try:
                side.do_handshake()
                side.read(1)
            except ssl.SSLWantReadError:
                pass
    return sides[1].version()


def test_both_sides_agree_on_the_newest_version_and_the_client_verifies_the_name(folder: Path) -> None:
    server, client = server_context("[x]", *own(folder, "server")), client_context("[x]", str(folder / "ca.pem"))
    assert agreed(server, client) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        agreed(server, client, "other.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        agreed(server, client_context("[x]", str(folder / "stranger-ca.pem")))
    with pytest.raises(ssl.SSLCertVerificationError):
        agreed(server, client_context("[x]"))


def test_with_trusted_certificates_the_peer_must_show_one_of_theirs(folder: Path) -> None:
    ca = str(folder / "ca.pem")
    server = server_context("[x]", *own(folder, "server"), ca)
    assert agreed(server, client_context("[x]", ca, *own(folder, "peer"))) == "TLSv1.3"
    for client in (client_context("[x]", ca), client_context("[x]", ca, *own(folder, "stranger"))):
        with pytest.raises(ssl.SSLError):
            agreed(server, client)


def test_the_older_side_decides_the_version_and_weak_suites_are_not_spoken(folder: Path) -> None:
    server, client = server_context("[x]", *own(folder, "server")), client_context("[x]", str(folder / "ca.pem"))
    old = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert agreed(server, old) == "TLSv1.2"
    weak = "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:AES128-SHA"
    old.set_ciphers(weak)
    with pytest.raises(ssl.SSLError):
        agreed(server, old)
    peer = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    peer.load_cert_chain(*own(folder, "server"))
    peer.maximum_version = ssl.TLSVersion.TLSv1_2
    peer.set_ciphers(weak)
    with pytest.raises(ssl.SSLError):
        agreed(peer, client)


@pytest.mark.parametrize(
    ("certificate", "key", "trusted", "says"),
    [
        ("", "server.key", "", "not both set"),
        ("server.pem", "", "", "not both set"),
        ("missing.pem", "server.key", "", r"certificate: .*missing\.pem cannot be read: No such file"),
        ("server.pem", "missing.key", "", r"private_key: .*missing\.key cannot be read: No such file"),
        ("none.pem", "server.key", "", r"certificate: .*none\.pem does not hold a PEM certificate"),
        ("server.pem", "peer.key", "", "do not belong together"),
        ("server.pem", "none.pem", "", "or are not PEM"),
        ("old.pem", "old.key", "", "expired on .* Renew it"),
        ("early.pem", "early.key", "", "Is the clock right"),
        ("server.pem", "server.key", "none.pem", r"trusted_certificates: .*none\.pem does not hold PEM"),
        ("server.pem", "server.key", "missing.pem", r"trusted_certificates: .*missing\.pem cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_named(folder: Path, certificate: str, key: str, trusted: str, says: str) -> None:
    files = [str(folder / name) if name else "" for name in (certificate, key, trusted)]
    with pytest.raises(SettingsError, match=says) as caught:
        server_context("[service]", *files)
    assert str(caught.value).startswith("[service] ")
    with pytest.raises(SettingsError):
        client_context("[fetch]", files[2], *files[:2])


def test_a_file_in_the_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    server = server_context("[x]", "~/server.pem", "~/server.key", "~/ca.pem")
    assert agreed(server, client_context("[x]", "~/ca.pem", "~/peer.pem", "~/peer.key")) is not None
