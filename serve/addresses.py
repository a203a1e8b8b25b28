"""Which addresses belong to the public internet, and so may be asked for a stranger's picture.

`ipaddress.is_global` is not enough. It is True for addresses that lead a packet to a private one: NAT64
(64:ff9b::a9fe:a9fe carries 169.254.169.254), 6to4 (2002:7f00:1:: carries 127.0.0.1), Teredo; for deprecated
site-local ones (fec0::/10); for multicast; and for two addresses at which clouds keep a machine's secrets.
So IPv6 is judged by what is given out for global unicast at all, 2000::/3 (IANA, "IPv6 Global Unicast Address
Assignments"), without the parts of it that are tunnels, benchmarks and documentation.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocols: Teredo (2001::/32), ORCHID, benchmarking
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: the IPv4 address is within
            "3fff::/20",  # documentation, RFC 9637; Python 3.11 does not know it
        ),
    )
)
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "192.0.0.0/24",  # IETF protocols; 192.0.0.192 is Oracle's metadata service
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # Azure's host, from within a machine of it
            "224.0.0.0/4",  # multicast
        ),
    )
)


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet, whatever form it is wrapped in."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # ::ffff:10.0.0.1 is 10.0.0.1 to the system
            return is_public(address.ipv4_mapped)
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_6)
    return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)
