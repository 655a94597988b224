# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from vla_ros_msgs.msg import CameraImage, Observation, ObservationRequest

from test.core.helpers import policy, robot
from test.nodes.puppet import PuppetConfig, Strings, puppet_class
from test.nodes.stage import LEFT
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    WireFormatError,
)
from vla_ros.core.request_scheduler import Failure
from vla_ros.nodes.inference_worker import InferenceWorker, WorkerCallbacks
from vla_ros.ros.stamps import duration_from_ns, ns_from_time, time_from_ns


def observation(request_id: int, epoch: int = 1) -> Observation:
    message = Observation(
        request=ObservationRequest(request_id=request_id, epoch=epoch, stamp=time_from_ns(1000)),
        images=[CameraImage(camera="left", encoding="rgb8", height=4, width=6)],
        state_names=["w/position", "a/position", "g/position"],
        state=[0.2, 0.1, 0.0],
    )
    message.images[0].data = array.array("B", LEFT.tobytes())
    message.header.stamp = time_from_ns(request_id)
    return message


class Bench:
    """A worker, and everything that it said."""

    def __init__(self, strings: Strings) -> None:
        self.strings = strings
        self.chunks: list[ActionChunk] = []
        self.failures: list[tuple[int, Failure]] = []
        self.troubles: list[Failure | None] = []
        self.crashes: list[BaseException | None] = []
        self.now_ns = 0
        self._changed = threading.Condition()
        guard = ExitStack()
        guard.push(lambda kind, error, trace: self._note(self.crashes, error) or True)
        backend = puppet_class(strings)
        self.worker = InferenceWorker(
            lambda: backend(PuppetConfig(), robot=robot(), policy=policy()),
            robot(),
            WorkerCallbacks(
                chunk=lambda chunk: self._note(self.chunks, chunk),
                failure=lambda message, failure: self._note(
                    self.failures, (message.request.request_id, failure)
                ),
                trouble=lambda trouble: self._note(self.troubles, trouble),
            ),
            now_ns=self._clock,
            guard=guard,
        )

    def _clock(self) -> int:
        self.now_ns += 5
        return self.now_ns

    def _note(self, where: list, what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 10.0), (self.failures, self.troubles)

    def answer(self, message: Observation) -> ActionChunk | Failure:
        """Offer an observation and wait for its answer."""
        request_id = message.request.request_id
        self.worker.offer(message)
        self.wait(lambda: self.answers(request_id))
        [answer] = self.answers(request_id)
        return answer

    def answers(self, request_id: int) -> list[ActionChunk | Failure]:
        return [
            *(chunk for chunk in self.chunks if chunk.request_id == request_id),
            *(failure for found, failure in self.failures if found == request_id),
        ]

    def until_called(self, what: str) -> None:
        end = time.monotonic() + 10.0
        while what not in self.strings.calls:
            assert time.monotonic() < end, self.strings.calls
            time.sleep(0.001)

    def connected(self) -> None:
        self.wait(lambda: self.troubles and self.troubles[-1] is None)


@pytest.fixture
def strings() -> Strings:
    return Strings()


@pytest.fixture
def bench(strings: Strings) -> Iterator[Bench]:
    bench = Bench(strings)
    yield bench
    strings.gate.set()
    assert bench.worker.stop()


def test_a_chunk_carries_its_request_and_its_timing(bench: Bench):
    bench.worker.start()

    chunk = bench.answer(observation(request_id=7, epoch=3))

    assert isinstance(chunk, ActionChunk)
    assert (chunk.request_id, chunk.epoch, chunk.stamp_ns) == (7, 3, 7)
    assert chunk.timing == ChunkTiming(requested_ns=1000, sent_ns=5, received_ns=10)
    assert bench.strings.threads.isdisjoint({threading.get_ident()})


def test_the_backends_own_timing_counts(bench: Bench):
    timing = ChunkTiming(sent_ns=77, received_ns=88)
    bench.strings.edit = lambda chunk: dataclasses.replace(chunk, timing=timing)
    bench.worker.start()

    chunk = bench.answer(observation(1))

    assert isinstance(chunk, ActionChunk)
    assert chunk.timing == ChunkTiming(requested_ns=1000, sent_ns=77, received_ns=88)


def test_a_new_epoch_resets_the_backend_before_it_infers(bench: Bench):
    bench.worker.start()

    for request_id, epoch in ((1, 5), (2, 5), (3, 6)):
        bench.answer(observation(request_id, epoch))

    assert bench.strings.calls == [
        "connect here", "reset", "infer 1", "infer 2", "reset", "infer 3",
    ]  # fmt: skip


def test_a_reset_that_failed_is_tried_again(bench: Bench):
    bench.strings.reset_errors.append(RemotePolicyError("cannot reset now"))
    bench.worker.start()

    assert bench.answer(observation(1)) == Failure("policy_error", "cannot reset now")
    assert isinstance(bench.answer(observation(2)), ActionChunk)
    assert bench.strings.calls[1:] == ["reset", "reset", "infer 2"]


def test_what_is_committed_reaches_the_policy_on_its_chunks_grid(bench: Bench):
    message = observation(1)
    stamp_ns = ns_from_time(message.header.stamp)
    message.request.names, message.request.committed_length = ["a/position"], 3
    message.request.committed = [0.1, 0.2, 0.3]
    message.request.committed_stamp = time_from_ns(stamp_ns - 50_000_000)
    message.request.committed_step = duration_from_ns(100_000_000)
    bench.worker.start()

    bench.answer(message)

    [prefix] = bench.strings.prefixes
    assert prefix is not None
    assert prefix.names == ("a/position",)
    assert prefix.actions[:, 0] == pytest.approx([0.15, 0.25])


def test_the_newest_observation_wins_and_the_others_are_answered(bench: Bench):
    bench.worker.start()
    bench.connected()
    bench.strings.gate.clear()
    bench.worker.offer(observation(1))
    bench.until_called("infer 1")
    for request_id in (2, 3, 4):
        bench.worker.offer(observation(request_id))
    bench.strings.gate.set()
    bench.wait(lambda: len(bench.chunks) == 2)

    assert [chunk.request_id for chunk in bench.chunks] == [1, 4]
    assert [request_id for request_id, _ in bench.failures] == [2, 3]
    assert {failure.reason for _, failure in bench.failures} == {"server_silent"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RemotePolicyError("server says: out of memory"), "policy_error"),
        (WireFormatError("not msgpack"), "policy_error"),
        (ConfigError("camera left is not in the observation"), "policy_error"),
        (BackendSilent("no answer within 1 s"), "server_silent"),
        (BackendUnavailable("nobody listens there"), "server_unavailable"),
        (ActionError("action 3 of a/position is nan"), "bad_chunk"),
    ],
)
def test_a_failed_inference_is_named_and_the_next_one_works(bench: Bench, error, reason):
    bench.strings.infer_errors.append(error)
    bench.worker.start()
    bench.connected()

    assert bench.answer(observation(1)) == Failure(reason, str(error))
    bench.connected()
    assert isinstance(bench.answer(observation(2)), ActionChunk)
    assert bench.crashes == []


def test_a_bad_observation_is_named_after_its_stream(bench: Bench):
    message = observation(1)
    message.images[0].width = 7
    bench.worker.start()

    failure = bench.answer(message)

    assert isinstance(failure, Failure)
    assert failure.reason == "stale_camera"
    assert "is 4x7 px" in failure.detail


def test_while_nobody_answers_observations_are_refused_at_once_and_then_served(bench: Bench):
    bench.strings.connect_errors += [BackendUnavailable(f"attempt {n}") for n in range(1, 4)]
    bench.worker.start()
    bench.wait(lambda: bench.troubles)

    # At once: with the first attempt's text, though a second one would be made 0.1 s later.
    failure = bench.answer(observation(1))
    assert failure == Failure("server_unavailable", "attempt 1")
    assert bench.worker.info is None

    bench.connected()
    assert isinstance(bench.answer(observation(2)), ActionChunk)
    assert [trouble and trouble.detail for trouble in bench.troubles] == [
        "attempt 1", "attempt 2", "attempt 3", None,
    ]  # fmt: skip


def test_what_waits_for_the_first_connection_is_answered_too(bench: Bench):
    bench.strings.connect_errors.append(BackendUnavailable("nobody there"))
    bench.worker.offer(observation(1))
    bench.worker.start()

    bench.wait(lambda: bench.failures)
    assert bench.failures == [(1, Failure("server_unavailable", "nobody there"))]


def test_after_silence_it_connects_again_without_being_asked(bench: Bench):
    bench.worker.start()
    bench.connected()
    bench.strings.infer_errors.append(BackendSilent("silence"))
    bench.strings.connect_errors.append(BackendUnavailable("gone"))

    bench.answer(observation(1))
    bench.wait(lambda: len(bench.troubles) == 4)

    assert [trouble and trouble.reason for trouble in bench.troubles] == [
        None, "server_silent", "server_unavailable", None,
    ]  # fmt: skip
    assert bench.strings.calls.count("connect here") == 3


def test_a_policy_that_answers_with_an_error_is_not_connected_to_again(bench: Bench):
    bench.worker.start()
    bench.strings.infer_errors.append(RemotePolicyError("no"))
    bench.answer(observation(1))
    bench.answer(observation(2))

    assert bench.strings.calls.count("connect here") == 1


def test_check_says_whether_the_policy_was_reached(bench: Bench):
    bench.worker.start()
    assert bench.worker.check(5.0)
    assert bench.worker.info is not None
    assert bench.worker.info.description == "a puppet"


def test_check_does_not_mind_an_absent_server(bench: Bench):
    bench.strings.connect_errors += [BackendUnavailable("not yet")] * 20
    bench.worker.start()

    assert not bench.worker.check(5.0)


def test_check_refuses_a_policy_that_does_not_fit(bench: Bench):
    bench.strings.connect_errors.append(ConfigError("horizon 16, expected 10"))
    bench.worker.start()

    with pytest.raises(ConfigError, match="horizon 16, expected 10"):
        bench.worker.check(5.0)


def test_a_policy_that_does_not_fit_later_is_a_policy_error(bench: Bench):
    bench.strings.connect_errors += [
        BackendUnavailable("not yet"), ConfigError("horizon 16, expected 10"),
    ]  # fmt: skip
    bench.worker.start()
    bench.wait(lambda: len(bench.troubles) >= 2)

    assert bench.troubles[1] == Failure("policy_error", "horizon 16, expected 10")


def test_renewing_makes_a_new_backend(bench: Bench):
    bench.worker.start()
    bench.answer(observation(1))

    bench.worker.renew()
    bench.wait(lambda: len(bench.troubles) == 2)
    bench.answer(observation(2))

    assert bench.strings.calls == [
        "connect here", "reset", "infer 1", "close", "connect here", "reset", "infer 2",
    ]  # fmt: skip


def test_stopping_closes_the_backend_in_its_thread(bench: Bench):
    bench.worker.start()
    bench.connected()

    assert bench.worker.stop()
    assert bench.strings.calls == ["connect here", "close"]
    assert len(bench.strings.threads) == 1


def test_stopping_does_not_wait_for_a_backend_that_is_busy(bench: Bench):
    bench.worker.start()
    bench.connected()
    bench.strings.gate.clear()
    bench.worker.offer(observation(1))
    bench.until_called("infer 1")

    begin = time.monotonic()
    assert not bench.worker.stop()
    assert time.monotonic() - begin < 5.0  # the backend would be busy for ever


def test_a_mistake_in_a_backend_reaches_the_guard(bench: Bench):
    bench.strings.infer_errors.append(ZeroDivisionError("a mistake"))
    bench.worker.start()
    bench.worker.offer(observation(1))

    bench.wait(lambda: bench.crashes)
    assert isinstance(bench.crashes[0], ZeroDivisionError)
    assert bench.strings.calls[-1] == "close"
