# SPDX-License-Identifier: Apache-2.0
"""The network of the fault run can be cut, silenced and mended."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from test.support.tcp_proxy import TcpProxy
from test.system.deployments import free_port

SHORT_S = 0.2


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        made.settimeout(5.0)
        yield made


def connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=5.0)
    made.settimeout(5.0)
    return made


def test_it_passes_on_what_it_is_not_told_to_keep(listener: socket.socket):
    with TcpProxy(listener.getsockname()[1]) as proxy, closing(connected(proxy.port)) as here:
        there, _ = listener.accept()
        with closing(there):
            here.sendall(b"there")
            assert there.recv(100) == b"there"
            there.sendall(b"here")
            assert here.recv(100) == b"here"
            proxy.swallow()
            here.sendall(b"late")
            there.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                there.recv(100)
            proxy.mend()
            there.settimeout(5.0)
            assert there.recv(100) == b"late"
            proxy.delay_s = SHORT_S
            begun_s = time.monotonic()
            there.sendall(b"slow")
            assert here.recv(100) == b"slow"
            assert time.monotonic() - begun_s > SHORT_S


def test_it_is_as_slow_as_it_is_told_to_be(listener: socket.socket):
    data = b"x" * 300_000
    with TcpProxy(listener.getsockname()[1]) as proxy, closing(connected(proxy.port)) as here:
        there, _ = listener.accept()
        with closing(there):
            proxy.bytes_per_s = 1e6
            begun_s = time.monotonic()
            here.sendall(data)
            left = len(data)
            while left:
                left -= len(there.recv(left))
            assert time.monotonic() - begun_s >= 0.3


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended(listener: socket.socket):
    with TcpProxy(listener.getsockname()[1]) as proxy, closing(connected(proxy.port)) as here:
        there, _ = listener.accept()
        with closing(there):
            proxy.cut()
            for side in (here, there):
                with pytest.raises(ConnectionResetError):
                    _until_closed(side)
            with pytest.raises(ConnectionRefusedError):
                connected(proxy.port)
            proxy.mend()
            with closing(connected(proxy.port)):
                listener.accept()[0].close()


def test_a_connection_that_leads_nowhere_is_ended():
    with (
        TcpProxy(free_port()) as proxy,
        closing(connected(proxy.port)) as here,
        pytest.raises(ConnectionResetError),
    ):
        _until_closed(here)


def _until_closed(side: socket.socket) -> None:
    if side.recv(100) == b"":
        raise ConnectionResetError
