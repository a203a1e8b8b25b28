import ipaddress

import pytest

from serve.addresses import is_public

_PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254
169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1
198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.0.0.192
64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::a00:1 100::1 2001::1 2001:0:7f00:1:: 2001:20::1 2001:db8::1
2002:7f00:1:: 2002:a00:1:: 2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0
fec0::1 ff02::1 ff0e::1 2606:4700:4700::1111%eth0
"""
_PUBLIC = "1.1.1.1 8.8.8.8 93.184.216.34 ::ffff:8.8.8.8 2606:4700:4700::1111 2a00:1450:4001:80b::200e"
PRIVATE, PUBLIC = _PRIVATE.split(), _PUBLIC.split()


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not_of_the_public_internet_is_seen(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_let_through(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_is_global_alone_would_not_do() -> None:
    """Each of these is global to Python; if that list is empty one day, the module may shrink."""
    holes = [text for text in PRIVATE if ipaddress.ip_address(text).is_global and "%" not in text]
    assert {"168.63.129.16", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "fec0::1"} & set(holes)
