"""TLS: the BCP 195 profile, with and without certificates of the peers."""

from __future__ import annotations

import ssl
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from tests.service.peers import Peer, Server, contexts_of, free_port

from doseatlas.service import dimse, pdu


class Certificates(NamedTuple):
    authority: trustme.CA
    folder: Path

    def settings(self, **ports: int) -> str:
        lines = [f"{name} = {port}" for name, port in ports.items()]
        return "\n".join(
            [*lines, f'certificate = "{self.folder}/cert.pem"', f'private_key = "{self.folder}/key.pem"\n']
        )


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    authority = trustme.CA()
    own, peer = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("ct1.example.org")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in own.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    peer.private_key_pem.write_to_path(tmp_path / "peer-key.pem")
    peer.cert_chain_pems[0].write_to_path(tmp_path / "peer.pem")
    return Certificates(authority, tmp_path)


def is_let_in(port: int, context: ssl.SSLContext, paths: list[Path]) -> bool:
    """Whether an association over TLS is accepted; with TLS 1.3 a missing certificate shows on the first read."""
    try:
        with Peer(port, tls=context) as peer:
            return peer.associate(*contexts_of(paths))[0] == pdu.ASSOCIATE_AC
    except OSError:
        return False


def test_a_peer_with_a_certificate_is_let_in_and_one_without_is_not(
    serve: Callable[..., Server], certificates: Certificates, reports: list[Path]
) -> None:
    port, folder = free_port(), certificates.folder
    trusted = f'trusted_certificates = "{folder}/ca.pem"\n'
    server = serve(certificates.settings(dicom_tls_port=port) + trusted)
    command = ["storescu", "--enable-tls", f"{folder}/peer-key.pem", f"{folder}/peer.pem", "--add-cert-file"]
    done = subprocess.run(
        [*command, f"{folder}/ca.pem", "127.0.0.1", str(port), str(reports[0])],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    server.drained()
    assert len(server.exams()) == 1
    bare = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    assert not is_let_in(port, bare, reports[:1])
    with Peer(port) as plain:
        plain.socket.sendall(plain.request(*contexts_of(reports[:1])))
        assert plain.receive()[0] != pdu.ASSOCIATE_AC


def test_old_versions_and_weak_ciphers_are_not_spoken(serve: Callable[..., Server], certificates: Certificates) -> None:
    port, web = free_port(), free_port()
    serve(certificates.settings(dicom_tls_port=port, https_port=web))
    for version, ciphers, spoken in (
        (ssl.TLSVersion.TLSv1_3, None, True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA", False),
    ):
        context = ssl.create_default_context(cafile=f"{certificates.folder}/ca.pem")
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        if not spoken:
            for listening in (port, web):
                with pytest.raises(ssl.SSLError), Peer(listening, tls=context):
                    pass
            continue
        with Peer(port, tls=context) as peer:
            assert peer.associate(("1.2.840.10008.1.1", "1.2.840.10008.1.2"))[0] == pdu.ASSOCIATE_AC


def test_objects_come_whole_over_tls_and_https_answers(
    serve: Callable[..., Server], certificates: Certificates, reports: list[Path]
) -> None:
    port, web = free_port(), free_port()
    server = serve(certificates.settings(dicom_tls_port=port, https_port=web))
    context = ssl.create_default_context(cafile=f"{certificates.folder}/ca.pem")
    with Peer(port, tls=context) as peer:
        peer.associate(*contexts_of(reports[:3]))
        assert [peer.store(path) for path in reports[:3]] == [dimse.SUCCESS] * 3
    with urllib.request.urlopen(f"https://localhost:{web}/health", context=context, timeout=20) as answer:
        assert answer.read() == b"ok\n"
    server.drained()
    assert len(server.exams()) == 3
