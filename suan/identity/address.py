"""HOST:PORT, with an IPv6 host in brackets, and lists of it. Knows text only; resolves nothing."""

import ipaddress
import re
from typing import Final

from suan.errors import InvalidRequest

PORT_MAX: Final = 65_535
ADDRESSES_MAX: Final = 16
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    re.IGNORECASE,
)


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port; raises InvalidRequest (AddressInvalid)."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    valid_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) <= PORT_MAX
    if not (colon and valid_port and _is_host(host, bracketed)):
        raise InvalidRequest(
            f"{address!r} is not an address",
            "write HOST:PORT, such as broker.example.cn:7443 or [2001:db8::1]:7443",
            "AddressInvalid",
        )
    return host, int(port)


def split_addresses(addresses: str) -> tuple[str, ...]:
    """Each HOST:PORT of a list with commas; raises InvalidRequest (AddressInvalid)."""
    found = tuple(dict.fromkeys(part.strip() for part in addresses.split(",")))
    for address in found:
        split_address(address)
    if len(found) > ADDRESSES_MAX:
        message = f"{len(found)} brokers are named, at most {ADDRESSES_MAX} can be"
        raise InvalidRequest(message, "", "AddressInvalid")
    return found


def host_of(address: str) -> str:
    """The host of HOST:PORT; raises InvalidRequest (AddressInvalid)."""
    return split_address(address)[0]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_host(host: str, bracketed: bool) -> bool:
    try:
        return (ipaddress.ip_address(host).version == 6) == bracketed
    except ValueError:
        return not bracketed and _DNS_NAME.fullmatch(host) is not None
