"""Who may send, and to which facility do its objects belong? Matches peers with the callers of the settings."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from doseatlas.model import SettingsError
from doseatlas.settings import CallerSettings, ServiceSettings, TokenSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TOKEN_CHARACTERS = 16


class Caller(NamedTuple):
    """A peer that is let in. ``name`` counts its associations and labels its metrics."""

    name: str
    facility: str | None
    max_associations: int
    commitment_address: tuple[str, int] | None


class Callers:
    """The DICOM callers of the settings.

    Raises:
        SettingsError: an AE title or address is not valid.

    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._rows = [(row, _networks(row), _caller(row, settings)) for row in settings.callers]
        for number, (row, networks, _) in enumerate(self._rows):
            for earlier, wider, _ in self._rows[:number]:
                if earlier.ae_title in (row.ae_title, "*") and _covers(wider, networks):
                    raise SettingsError(
                        f"The caller {row.ae_title!r} ({', '.join(row.addresses) or 'any address'}) in [service] is "
                        f"never reached: an earlier one, {earlier.ae_title!r} "
                        f"({', '.join(earlier.addresses) or 'any address'}), takes its peers, and with them its "
                        "facility. Name the narrower one first, and each address once."
                    )

    def find(self, ae_title: str, address: str) -> Caller | None:
        """Return the first caller that fits, or ``None`` for a peer that is not let in.

        Where the settings name no callers, whoever calls from this machine is let in.
        """
        at = parse_address(address)
        for row, networks, caller in self._rows:
            if row.ae_title in (ae_title, "*") and (not networks or any(at in network for network in networks)):
                return caller
        if self._settings.anyone or (not self._rows and at.is_loopback):
            return Caller(str(at), None, self._settings.max_associations_per_caller, None)
        return None


def is_ae_title(text: str) -> bool:
    """Return whether a text can be an AE title (PS3.5, VR AE): what is not blank in 1 to 16 printable characters."""
    return len(text) <= 16 and bool(text.strip()) and text.isascii() and text.isprintable() and "\\" not in text


def _covers(wider: list[Network], networks: list[Network]) -> bool:
    """Return whether one of the networks (none: any) is wholly in one of the wider ones."""
    return not wider or any(
        one.version == two.version and two.subnet_of(one)  # type: ignore[arg-type]  # of one version
        for one in wider
        for two in networks
    )


def _caller(row: CallerSettings, settings: ServiceSettings) -> Caller:
    if row.max_associations < 0:
        raise SettingsError(
            f"The max_associations of the caller {row.ae_title!r} in [service] is {row.max_associations}; it must be "
            "0 (as for all) or more."
        )
    if not is_ae_title(row.ae_title):
        raise SettingsError(f"The caller {row.ae_title!r} in [service] is no AE title: 1 to 16 ASCII characters.")
    at = _host_and_port(row) if row.commitment_address else None
    return Caller(row.ae_title, row.facility, row.max_associations or settings.max_associations_per_caller, at)


def _networks(row: CallerSettings) -> list[Network]:
    try:
        return [ipaddress.ip_network(address, strict=False) for address in row.addresses]
    except ValueError as error:
        raise SettingsError(
            f"An address of the caller {row.ae_title!r} in [service] is wrong: {error}. "
            "Write addresses or networks, such as 10.1.2.3 or 10.1.0.0/16."
        ) from None


def _host_and_port(row: CallerSettings) -> tuple[str, int]:
    host, _, port = row.commitment_address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(
            f"The commitment_address of the caller {row.ae_title!r} is {row.commitment_address!r}; "
            "write host:port, such as 10.1.2.3:104."
        )
    return host.strip("[]"), int(port)


def parse_address(text: str) -> Address:
    """Return an address as a socket states it; an IPv4 address in IPv6 form is IPv4."""
    address = ipaddress.ip_address(text.split("%", 1)[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Tokens:
    """The bearer tokens of DICOMweb senders.

    Raises:
        SettingsError: a token's file cannot be read or holds too little.

    """

    def __init__(self, rows: Iterable[TokenSettings]) -> None:
        self._tokens = [(_token(row), row) for row in rows]

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def find(self, authorization: str) -> TokenSettings | None:
        """Return whose token an Authorization header bears, in time that does not tell how much of it is right."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        matches = [row for token, row in self._tokens if hmac.compare_digest(token, given.strip().encode())]
        return matches[0] if matches else None


def _token(row: TokenSettings) -> bytes:
    try:
        token = Path(row.file).expanduser().read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"The token file {row.file} of {row.name!r} cannot be read: {error.strerror}.") from None
    if len(token) < _TOKEN_CHARACTERS or not token.isascii():
        raise SettingsError(
            f"The token file {row.file} of {row.name!r} must hold at least {_TOKEN_CHARACTERS} ASCII characters."
        )
    return token
