# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.core.addresses import is_loopback, join_address, parse_address
from vla_ros.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.7:5555", "10.0.0.7", 5555),
        ("gpu-box.lab:1", "gpu-box.lab", 1),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int):
    assert parse_address(text, where="x") == (host, port)
    assert join_address(host, port) == text


@pytest.mark.parametrize(
    "text",
    ["", "a", ":1", "a:", "a:0", "a:65536", "a:x", "a:-1", "a:٣", "::1:80", "[]:80", "[a]:80"],
)
def test_what_is_no_address_is_named(text: str):
    with pytest.raises(ConfigError, match=r"^--address must be HOST:PORT, such as .*; found '"):
        parse_address(text, where="--address")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.3.2.1", True), ("localhost", True), ("::1", True),
        ("0.0.0.0", False), ("*", False), ("10.0.0.7", False), ("robot.local", False),
    ],
)  # fmt: skip
def test_loopback_is_known(host: str, loopback: bool):
    assert is_loopback(host) is loopback
