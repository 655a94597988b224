# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from std_srvs.srv import Trigger

from test.ros.harness import Domain
from vla_ros.nodes.service_calls import Call, EpisodeFailed, ServiceCalls
from vla_ros.ros.lifecycle import LifecycleBase

Later = Callable[[Call], "Future[Any]"]


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def later() -> Iterator[Later]:
    """Calls in a thread of its own, as the domain is spun by the test's."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda call: pool.submit(call, Trigger.Request())


def caller(domain: Domain) -> ServiceCalls:
    return ServiceCalls(domain.add(partial(LifecycleBase, "caller")))


def serve(domain: Domain, *, success: bool) -> None:
    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = success, "as the test says"
        return response

    domain.peer.create_service(Trigger, "lamp", answer)


def test_an_answer_comes_back(domain: Domain, undo: ExitStack, later: Later) -> None:
    serve(domain, success=True)
    asked = later(caller(domain).to(undo, Trigger, "lamp"))
    domain.spin_until(asked.done, "the answer")
    assert asked.result().message == "as the test says"


def test_a_refusal_is_an_error_with_its_words(
    domain: Domain, undo: ExitStack, later: Later
) -> None:
    serve(domain, success=False)
    asked = later(caller(domain).to(undo, Trigger, "lamp"))
    domain.spin_until(asked.done, "the refusal")
    with pytest.raises(EpisodeFailed, match=r"service .*lamp refused: as the test says"):
        asked.result()


def test_waiting_for_a_service_can_be_cancelled(
    domain: Domain, undo: ExitStack, later: Later
) -> None:
    calls = caller(domain)
    asked = later(calls.to(undo, Trigger, "nowhere"))
    threading.Timer(0.1, calls.cancelled.set).start()
    domain.spin_until(asked.done, "the end of waiting")
    with pytest.raises(EpisodeFailed, match=r"service .*nowhere did not appear"):
        asked.result()
