# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

import pytest

from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.serving.asked import Client, Reset
from vla_ros.serving.turns import NobodyWatches, Turns

CLIENT = Client("gr00t", b"1")
ASKED: Reset[str] = Reset(lambda: "done")


class Noting(NobodyWatches):
    def __init__(self) -> None:
        self.ends: list[tuple[str, str, float]] = []

    def answered(self, protocol: str, outcome: str, waited_s: float) -> None:
        self.ends.append((protocol, outcome, waited_s))


def test_a_reply_ends_a_request_and_is_told():
    watcher, now = Noting(), [1.0]
    turns = Turns(watcher, now_s=lambda: now[0])
    turn = turns.begin(ASKED, CLIENT)
    assert (turn.asked, turn.client, turn.since_s) == (ASKED, CLIENT, 1.0)
    now[0] = 3.5
    turns.reply(turn, lambda: "reply")
    assert turn.done.result(0) == "reply"
    assert watcher.ends == [("gr00t", "ok", 2.5)]


def test_a_reply_that_cannot_be_made_is_an_error():
    watcher = Noting()
    turns = Turns(watcher)
    turn = turns.begin(ASKED, CLIENT)

    def fail() -> str:
        raise ConfigError("no such key")

    turns.reply(turn, fail)
    with pytest.raises(ConfigError, match="no such key"):
        turn.done.result(0)
    assert [end[1] for end in watcher.ends] == ["error"]


def test_a_request_ends_once_whoever_ends_it():
    watcher = Noting()
    turns = Turns(watcher)
    first, second = turns.begin(ASKED, CLIENT), turns.begin(ASKED, CLIENT)
    turns.reply(first, lambda: 1)
    turns.refuse_all(BackendUnavailable("the end"))
    turns.reply(first, lambda: 2)
    turns.reply(second, lambda: 2)
    turns.fail(second, BackendUnavailable("again"), "error")
    assert first.done.result(0) == 1
    with pytest.raises(BackendUnavailable, match="the end"):
        second.done.result(0)
    assert [end[1] for end in watcher.ends] == ["ok", "refused"]


def test_a_request_cannot_be_called_off():
    turn = Turns(NobodyWatches()).begin(ASKED, CLIENT)
    assert not turn.done.cancel()


def test_who_is_told_of_an_end_may_ask_again():
    turns, again = Turns(NobodyWatches()), []
    turn = turns.begin(ASKED, CLIENT)
    turn.done.add_done_callback(lambda _: again.append(turns.begin(ASKED, CLIENT)))
    ender = threading.Thread(target=lambda: turns.refuse_all(BackendUnavailable("the end")))
    ender.start()
    ender.join(10)
    assert not ender.is_alive()
    assert not again[0].done.done()
