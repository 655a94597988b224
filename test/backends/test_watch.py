# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from test.support.fake_remotes import FakeRemote, FakeServer, fake_remote
from vla_ros.backends._watch import Watch
from vla_ros.core.errors import BackendUnavailable

PATIENCE_S = 5.0


def until(condition: Callable[[], bool]) -> None:
    by_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < by_s
        time.sleep(0.002)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


def test_it_sees_a_server_die_and_return_and_begins_each_time_afresh(server: FakeServer):
    watch = Watch(fake_remote(server), every_s=0.005, timeout_s=0.1)
    assert watch.alive
    watch.start()
    server.does = "vanish"
    until(lambda: not watch.alive)
    server.does = "work"
    until(lambda: watch.alive)
    watch.end()
    watch.join(PATIENCE_S)

    assert set(server.calls) == {"check", "close"}
    assert server.calls[-1] == "close"
    assert ["check", "close"] in [server.calls[at : at + 2] for at in range(len(server.calls))]


def test_it_waits_for_a_sign_of_life_no_longer_than_it_should(server: FakeServer):
    waited: list[float] = []
    server.wait, server.does = waited.append, "freeze"
    watch = Watch(fake_remote(server), every_s=0.005, timeout_s=0.125)
    watch.start()
    until(lambda: not watch.alive)
    watch.end()
    watch.join(PATIENCE_S)

    assert set(waited) == {0.125}


class Gated(FakeRemote):
    """A check of it begins and ends when the test says so."""

    def __init__(self) -> None:
        facts = fake_remote(FakeServer())
        super().__init__(facts.config, server=facts.server, robot=facts.robot, policy=facts.policy)
        self.begun = threading.Event()
        self.gate = threading.Event()

    def check(self) -> None:
        self.begun.set()
        self.gate.wait(PATIENCE_S)
        raise BackendUnavailable("too late")


def test_who_asked_the_server_meanwhile_knows_better():
    backend = Gated()
    watch = Watch(backend, every_s=0.001, timeout_s=1.0)
    watch.start()
    assert backend.begun.wait(PATIENCE_S)
    watch.tell(alive=True)
    watch.end()
    backend.gate.set()
    watch.join(PATIENCE_S)

    assert watch.alive


def test_it_is_not_waited_for_longer_than_said():
    backend = Gated()
    watch = Watch(backend, every_s=0.001, timeout_s=1.0)
    watch.start()
    assert backend.begun.wait(PATIENCE_S)
    watch.end()
    started_s = time.monotonic()
    watch.join(0.02)
    assert time.monotonic() - started_s < 1.0
    backend.gate.set()
    watch.join(PATIENCE_S)
    assert backend.server.calls[-1] == "close"
