"""From which addresses keys are fetched: the server must not be made to request what only it can reach.

All addresses of a name are checked, and the connection is made to one of those that were: a name that resolves to
another address a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from app.remote_keys.key_source import KeySetError

Address = IPv4Address | IPv6Address

LOOPBACK = [ip_network(each) for each in ("127.0.0.0/8", "::1/128")]
PRIVATE = [ip_network(each) for each in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
NEVER = [
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, and all that is reserved
        "100.100.100.200/32",  # the metadata of Alibaba's cloud
        "168.63.129.16/32",  # a virtual address of each machine in Azure
        "fd00:ec2::/32",  # the metadata of Amazon's cloud
        "fd20:ce::/32",  # the metadata of Google's cloud
        "2001::/23",  # Teredo and other tunnels
        "2001:db8::/32",
        "3fff::/20",
    )
]
UNICAST = IPv6Network("2000::/3")  # all that was ever assigned of IPv6
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def is_allowed(text: str, *, private: bool, loopback: bool) -> bool:
    """Whether keys may be fetched from an address, in any of its forms.

    Args:
        text: The address.
        private: Whether a private one is allowed.
        loopback: Whether this machine is.
    """
    address = plain(ip_address(text))
    if any(address in each for each in LOOPBACK):
        return loopback
    if any(address in each for each in NEVER):
        return False
    if any(address in each for each in PRIVATE):
        return private
    return address.version == 4 or address in UNICAST


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it does (RFC 4291, section 2.5.5.2; RFC 3056; RFC 6052)."""
    if isinstance(address, IPv4Address):
        return address
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
    return address.ipv4_mapped or address.sixtofour or translated or address


def resolve(host: str, port: int, *, private: bool, loopback: bool) -> Sequence[str]:
    """The addresses of a host, all of which are allowed; this waits for the resolver, which has time-outs of its own.

    Raises:
        KeySetError: If it has none, or one that is not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = f"the name does not resolve ({getattr(error, 'strerror', None) or type(error).__name__})"
        raise KeySetError("unreachable", source=host, why=why) from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for each in addresses:
        if not is_allowed(each, private=private, loopback=loopback):
            raise KeySetError("address_forbidden", source=host, address=each)
    return addresses
