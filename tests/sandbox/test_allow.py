"""Which hosts and which addresses a sandbox may reach."""

import pytest

from bot.sandbox.allow import Allow, address_refusal, rules


@pytest.mark.parametrize(
    ("pattern", "host", "port", "permitted"),
    [
        ("example.com", "example.com", 443, True),
        ("example.com", "example.com", 80, True),
        ("example.com", "example.com", 22, False),
        ("example.com", "www.example.com", 443, False),
        ("example.com", "badexample.com", 443, False),
        ("Example.COM.", "example.com", 443, True),
        ("*.example.com", "a.example.com", 443, True),
        ("*.example.com", "a.b.example.com", 443, True),
        ("*.example.com", "example.com", 443, False),
        ("*.example.com", "badexample.com", 443, False),
        (".example.com", "a.example.com", 443, True),
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("192.0.2.1", "192.0.2.1", 443, True),
        ("[2001:db8::1]:8443", "2001:db8::1", 8443, True),
        ("2001:db8::1", "2001:db8::1", 443, True),
        ("*", "example.com", 443, False),
        ("*.", "example.com", 443, False),
        ("", "", 443, False),
        ("exa mple.com", "example.com", 443, False),
        ("https://example.com", "example.com", 443, False),
    ],
)
def test_a_pattern_permits_what_it_names(pattern: str, host: str, port: int, permitted: bool) -> None:  # noqa: FBT001 - a column of the table
    assert Allow(rules([pattern])).permits(host, port) is permitted


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_fine(address: str) -> None:
    assert address_refusal(address, private_allowed=False) == ""


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "192.0.2.1", "198.18.0.1",
        "::1", "fc00::1", "fd12::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::", "64:ff9b:1::a00:1",
    ],
)  # fmt: skip
def test_private_addresses_need_a_setting(address: str) -> None:
    assert address_refusal(address, private_allowed=False) != ""
    assert address_refusal(address, private_allowed=True) == ""


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fe80::1", "fe80::1%e0",
        "0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1",
    ],
)  # fmt: skip
def test_no_setting_opens_what_is_no_hosts_address(address: str) -> None:
    assert address_refusal(address, private_allowed=True) != ""
