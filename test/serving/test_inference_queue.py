# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.serving.asked import Client
from vla_ros.serving.inference_queue import InferenceQueue


def client(name: object) -> Client:
    return Client("any", name)


def queue(*, max_waiting: int = 8, max_batch: int = 4, wait_s: float = 0.01) -> InferenceQueue[str]:
    return InferenceQueue(max_waiting=max_waiting, max_batch=max_batch, batch_wait_s=wait_s)


def test_who_asks_alone_is_next_at_once():
    waiting = queue()
    assert waiting.begins_s(0.0) is None
    assert waiting.add("a1", client("a"), 1.0) is None
    assert waiting.begins_s(1.0) == 1.0
    assert waiting.take() == ["a1"]
    assert waiting.begins_s(1.0) is None


def test_the_first_waits_for_those_who_are_at_work_and_no_longer_than_told():
    waiting = queue(wait_s=0.01)
    for name in "abc":
        waiting.add(name, client(name), 0.0)
    waiting.take()
    waiting.add("a2", client("a"), 0.5)
    waiting.add("b2", client("b"), 0.504)
    assert waiting.begins_s(0.504) == pytest.approx(0.51)
    waiting.add("c2", client("c"), 0.505)
    assert waiting.begins_s(0.505) == 0.505
    assert sorted(waiting.take()) == ["a2", "b2", "c2"]


def test_who_waited_for_the_policy_waits_for_those_who_were_answered_just_now_too():
    waiting = queue(wait_s=0.01)
    for name in "abc":
        waiting.add(name, client(name), 0.0)
    waiting.take()
    waiting.add("a2", client("a"), 0.1)
    assert waiting.begins_s(0.5, free_s=0.5) == pytest.approx(0.51)
    waiting.add("b2", client("b"), 0.503)
    assert waiting.begins_s(0.503, free_s=0.5) == pytest.approx(0.51)
    waiting.add("c2", client("c"), 0.504)
    assert waiting.begins_s(0.504, free_s=0.5) == 0.504


def test_who_asks_a_policy_that_is_free_for_long_is_not_waited_for_longer():
    waiting = queue(wait_s=0.01)
    waiting.add("a", client("a"), 0.0)
    waiting.add("b", client("b"), 0.0)
    waiting.take()
    waiting.add("a2", client("a"), 0.5)
    assert waiting.begins_s(0.5, free_s=0.2) == pytest.approx(0.51)


def test_who_has_asked_nothing_for_long_is_not_waited_for():
    waiting = queue()
    waiting.add("a", client("a"), 0.0)
    waiting.add("b", client("b"), 0.0)
    waiting.take()
    waiting.add("a2", client("a"), 1.001)
    assert waiting.begins_s(1.001) == 1.001


def test_a_full_batch_does_not_wait():
    waiting = queue(max_batch=2)
    for name in "abcd":
        waiting.add(name, client(name), 0.0)
    waiting.take()
    assert waiting.begins_s(0.0) == 0.0
    waiting.take()
    waiting.add("a2", client("a"), 0.1)
    assert waiting.begins_s(0.1) == pytest.approx(0.11)
    waiting.add("b2", client("b"), 0.1)
    assert waiting.begins_s(0.1) == 0.1


def test_who_runs_out_first_is_first():
    waiting = queue(max_batch=1)
    waiting.add("later", client("a"), 0.0, runs_out_in_s=0.9)
    waiting.add("untold", client("b"), 0.0)
    waiting.add("soon", client("c"), 0.1, runs_out_in_s=0.2)
    waiting.add("empty", client("d"), 0.2, runs_out_in_s=-3.0)
    assert [waiting.take() for _ in range(4)] == [["empty"], ["soon"], ["untold"], ["later"]]


def test_nobody_waits_behind_all_that_come_later():
    waiting = queue(max_batch=1)
    waiting.add("patient", client("a"), 0.0, runs_out_in_s=60.0)
    waiting.add("urgent", client("b"), 1.001, runs_out_in_s=0.0)
    assert waiting.take() == ["patient"]


def test_a_newer_one_replaces_the_older_and_keeps_its_place():
    waiting = queue(max_batch=1)
    waiting.add("a1", client("a"), 0.0, runs_out_in_s=0.3)
    waiting.add("b1", client("b"), 0.0, runs_out_in_s=0.4)
    assert waiting.add("a2", client("a"), 0.2, runs_out_in_s=0.9) == "a1"
    assert len(waiting) == 2
    assert [waiting.take(), waiting.take()] == [["a2"], ["b1"]]


def test_a_newer_one_does_not_put_the_batch_off():
    waiting = queue(wait_s=0.01)
    waiting.add("a", client("a"), 0.0)
    waiting.add("b", client("b"), 0.0)
    waiting.take()
    waiting.add("a2", client("a"), 0.5)
    waiting.add("a3", client("a"), 0.509)
    assert waiting.begins_s(0.509) == pytest.approx(0.51)


def test_only_so_many_clients_have_a_place():
    waiting = queue(max_waiting=2)
    waiting.add("a", client("a"), 0.0)
    assert not waiting.full_for(client("c"))
    waiting.add("b", client("b"), 0.0)
    assert waiting.full_for(client("c"))
    assert not waiting.full_for(client("a"))


def test_what_is_removed_is_not_taken():
    waiting = queue()
    waiting.add("a", client("a"), 0.0)
    waiting.add("b", client("b"), 0.0)
    assert waiting.remove(client("a")) == "a"
    assert waiting.remove(client("a")) is None
    assert waiting.take() == ["b"]
    waiting.add("c", client("c"), 0.0)
    assert waiting.clear() == ["c"]
    assert len(waiting) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 5), st.one_of(st.none(), st.floats(-1, 3))),
            st.tuples(st.just("take"), st.none(), st.none()),
            st.tuples(st.just("remove"), st.integers(0, 5), st.none()),
        )
    ),
    st.integers(1, 4),
)
def test_nothing_is_lost_and_nothing_comes_twice(
    steps: list[tuple[str, int | None, float | None]], max_batch: int
):
    waiting: InferenceQueue[int] = InferenceQueue(
        max_waiting=100, max_batch=max_batch, batch_wait_s=0.01
    )
    given_ids: set[int] = set()
    gone: list[int] = []
    for number, (what, who, left_s) in enumerate(steps):
        now_s = 0.1 * number
        if what == "add":
            given_ids.add(number)
            older = waiting.add(number, client(who), now_s, runs_out_in_s=left_s)
            gone += [] if older is None else [older]
        elif what == "take":
            batch = waiting.take()
            assert len(batch) <= max_batch
            gone += batch
        else:
            removed = waiting.remove(client(who))
            gone += [] if removed is None else [removed]
        begins_s = waiting.begins_s(now_s)
        assert (begins_s is None) is (len(waiting) == 0)
        assert begins_s is None or begins_s <= now_s + 0.01
    gone += waiting.clear()
    assert sorted(gone) == sorted(given_ids)


@given(st.integers(1, 6), st.integers(2, 8))
def test_in_an_overload_everybody_has_a_turn(max_batch: int, clients: int):
    """Each asks anew as soon as it is answered, some of them always with nothing left."""
    waiting: InferenceQueue[int] = InferenceQueue(
        max_waiting=100, max_batch=max_batch, batch_wait_s=0.01
    )
    turns = dict.fromkeys(range(clients), 0)
    for number in range(clients):
        waiting.add(number, client(number), 0.0, runs_out_in_s=0.0)
    for step in range(1, 40 * clients):
        for number in waiting.take():
            turns[number] += 1
            left_s = 0.0 if number % 2 else 5.0
            waiting.add(number, client(number), 0.3 * step, runs_out_in_s=left_s)
    assert min(turns.values()) > 0
    assert max(turns.values()) <= 5 * min(turns.values())
