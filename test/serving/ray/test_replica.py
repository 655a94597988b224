# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import gc
import pickle
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.gr00t_samples import moves, observation
from vla_ros.backends.base import BatchItem, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError
from vla_ros.core.observation import Prefix
from vla_ros.serving.asked import Client
from vla_ros.serving.ray.replica import LoadedPolicy, PolicyThread, Question

PREFIX = Prefix(("a",), np.zeros((1, 1)), 0.1, 0)


class Pairs(GoldenBackend):
    """Infers two observations at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def connect(self) -> PolicyInfo:
        return PolicyInfo("pairs", max_batch=2)

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        self.batches.append(len(items))
        return super().infer_batch(items)


class Slow(GoldenBackend):
    """Notes which thread closes it."""

    def __init__(self) -> None:
        super().__init__()
        self.closed_by = ""
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed_by = threading.current_thread().name
        self.closed.set()


def loaded(backend: GoldenBackend) -> LoadedPolicy:
    return LoadedPolicy(backend, PolicyThread())


def question(name: str = "a", **more: Any) -> Question:
    return Question(Client("any", name), observation(), **more)


def test_each_question_gets_its_answer_in_batches_that_the_policy_can_do() -> None:
    backend = Pairs()
    policy = loaded(backend)

    answers = policy.infer([question(str(index)) for index in range(5)])

    assert policy.description == "pairs"
    assert backend.batches == [2, 2]  # and the last one alone
    for answer in answers:
        assert isinstance(answer, ActionChunk)
        np.testing.assert_array_equal(answer.actions, moves())


def test_a_prefix_reaches_the_policy() -> None:
    backend = GoldenBackend()
    loaded(backend).infer([question(prefix=PREFIX)])
    assert backend.prefixes == [PREFIX]


def test_who_cannot_be_answered_is_told_and_the_others_are_answered() -> None:
    backend = OwnBackend()
    policy = loaded(backend)
    policy.infer([question("old")])
    backend.fails = True

    new, old = policy.infer([question("new"), question("old")])

    assert isinstance(new, BackendUnavailable)
    assert isinstance(old, ActionChunk)


def test_a_client_is_reset_and_forgotten_by_its_own_backend() -> None:
    backend = OwnBackend()
    policy = loaded(backend)
    policy.infer([question("a"), question("b")])
    _, first, second = backend.family

    policy.reset(Client("any", "b"))
    policy.forget(Client("any", "b"))

    assert (first.resets, first.closes) == (0, 0)
    assert (second.resets, second.closes) == (1, 1)


def test_a_bug_of_the_backend_is_told_as_the_policys() -> None:
    backend = GoldenBackend()
    policy = loaded(backend)
    backend.error = ZeroDivisionError("oh")

    [answer] = policy.infer([question()])

    assert isinstance(answer, RemotePolicyError)
    assert str(answer) == "the policy failed: ZeroDivisionError: oh"
    with refused(RemotePolicyError, "oh"):
        policy.reset(Client("any", "a"))


def test_one_that_cannot_be_connected_is_not_loaded() -> None:
    backend = OwnBackend()
    backend.fails = True
    with refused(BackendUnavailable, "the model is not there"):
        loaded(backend)


def test_a_policy_that_nobody_holds_is_closed_by_the_thread() -> None:
    backend, thread = Slow(), PolicyThread()
    policy = LoadedPolicy(backend, thread)

    del policy
    gc.collect()

    assert backend.closed.wait(5)
    assert backend.closed_by.startswith("policy")


@pytest.mark.parametrize("size", [(4, 6), (240, 320)])
def test_a_question_can_be_pickled_without_its_images(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 7, np.uint8)
    given = observation()
    asked = Question(
        Client("any", "a"),
        type(given)(1, "lift", {"head": image}, given.state_names, given.state),
        PREFIX,
    )
    apart: list[pickle.PickleBuffer] = []

    told = pickle.dumps(asked, protocol=5, buffer_callback=apart.append)
    again = pickle.loads(told, buffers=apart)

    assert len(told) < 2000
    assert np.shares_memory(again.observation.images["head"], image)
    assert again.client == asked.client
    assert not again.observation.state.flags.writeable
    assert again.prefix.names == ("a",)


def test_the_thread_is_one_and_tells_for_how_long_it_is_busy() -> None:
    clock = iter([10.0, 13.0, 20.0]).__next__
    thread = PolicyThread(now_s=clock)

    async def ask() -> list[Any]:
        name = await thread.run(lambda: threading.current_thread().name)
        return [name, await thread.run(lambda: thread.busy_s)]

    assert thread.busy_s == 0.0
    # The calls begin at 10 s and 13 s; during the second one the clock is looked at.
    [name, busy_s] = asyncio.run(ask())
    assert name.startswith("policy")
    assert busy_s == pytest.approx(7.0)
    assert thread.busy_s == 0.0


def test_what_a_call_raises_is_raised() -> None:
    thread = PolicyThread()

    def fail() -> None:
        raise BackendUnavailable("gone")

    with refused(BackendUnavailable, "gone"):
        asyncio.run(thread.run(fail))
    assert thread.busy_s == 0.0


def test_what_is_to_be_done_later_is_done_in_turn() -> None:
    thread = PolicyThread()
    done: list[str] = []

    def note(what: str) -> Callable[[], None]:
        return lambda: done.append(what)

    thread.run_later(note("first"))
    asyncio.run(thread.run(note("second")))

    assert done == ["first", "second"]
