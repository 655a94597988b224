# SPDX-License-Identifier: Apache-2.0
"""With the real Ray; run by ``make test-ray``."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.ray_backends import (
    Batching,
    Missing,
    Remembering,
    Telling,
    choice,
)
from test.support.ray_serve import STORE_BYTES, ray_environment
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation
from vla_ros.serving.asked import Client
from vla_ros.serving.ray.options import RayOptions, Settings, read_options
from vla_ros.serving.ray.replica import Question

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]
_REASON = "no Ray here; make test-ray installs it"
ray = pytest.importorskip("ray", reason=_REASON)
serve = pytest.importorskip("ray.serve", reason=_REASON)
ray_policy = pytest.importorskip("vla_ros.serving.ray.policy", reason=_REASON)

PATIENCE_S = 60.0
# Large enough to go by shared memory.
IMAGE = np.zeros((240, 320, 3), np.uint8)
_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with ray_environment() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        ray.init(
            num_cpus=2,
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=variables["RAY_TMPDIR"],
        )
        serve.start(proxy_location="Disabled")
        yield
        serve.shutdown()
        ray.shutdown()


@contextmanager
def running(
    *kinds: type[Telling], replicas: int = 1, settings: Settings | None = None, **more: Any
) -> Iterator[Any]:
    """A handle to replicas that serve these policies under their names."""
    options = RayOptions({kind.__name__: choice(kind) for kind in kinds}, settings or Settings())
    deployment = ray_policy.policy_deployment(options).options(
        num_replicas=replicas,
        ray_actor_options={"num_cpus": 0.5},
        graceful_shutdown_timeout_s=0.5,
        **more,
    )
    name = f"app{next(_numbers)}"
    application = deployment.bind(options.policies, options.settings)
    try:
        yield serve.run(application, name=name, route_prefix=None)
    finally:
        serve.delete(name)


def send(handle: Any, method: str, name: str, client: str, *given: Any) -> Any:
    """A request on its way."""
    told = handle.options(method_name=method, multiplexed_model_id=name, session_id=client)
    return told.remote(*given)


def ask(handle: Any, name: str, client: str = "a", text: str = "go") -> Any:
    """An observation on its way."""
    seen = Observation(1, text, {"left": IMAGE}, (), np.zeros(0))
    return send(handle, "infer", name, client, Question(Client("any", client), seen))


def numbers(response: Any) -> list[float]:
    """What the policy tells of itself."""
    answer = response.result(timeout_s=PATIENCE_S)
    assert isinstance(answer, ActionChunk), answer
    return [float(number) for number in answer.actions[:, 0]]


def until(happens: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_client_stays_with_its_replica_which_remembers_it() -> None:
    clients = [f"robot {index}" for index in range(12)]
    with running(Remembering, replicas=2) as handle:
        for step in range(1, 5):
            asked = {client: ask(handle, "Remembering", client) for client in clients}
            told = {client: numbers(response) for client, response in asked.items()}
            # Had another replica answered once, its count would be behind.
            assert [count for count, *_ in told.values()] == [step] * len(clients)
        assert len({pid for _, pid, _ in told.values()}) == 2

        client = Client("any", clients[0])
        assert send(handle, "reset", "Remembering", clients[0], client).result() is None
        send(handle, "forget", "Remembering", clients[1], Client("any", clients[1])).result()
        counts = [numbers(ask(handle, "Remembering", each))[0] for each in clients[:3]]
        assert counts == [1, 1, 5]


def test_images_are_not_copied_on_their_way() -> None:
    with running(Telling) as handle:
        _, _, writeable = numbers(ask(handle, "Telling"))
        assert not writeable


def test_ray_collects_batches() -> None:
    settings = Settings(max_batch=3, batch_wait_ms=300.0)
    with running(Batching, settings=settings) as handle:
        asked = [ask(handle, "Batching", str(index)) for index in range(6)]
        assert [numbers(each)[0] for each in asked] == [3] * 6


def test_a_policy_makes_room_for_another() -> None:
    with running(Telling, Batching, settings=Settings(max_policies=1)) as handle:
        assert numbers(ask(handle, "Telling"))[0] == 1
        assert numbers(ask(handle, "Telling"))[0] == 2
        assert numbers(ask(handle, "Batching"))[0] == 1
        # It was loaded anew.
        assert numbers(ask(handle, "Telling"))[0] == 1


def test_policies_stay_where_there_is_room() -> None:
    with running(Telling, Batching, settings=Settings(max_policies=2)) as handle:
        numbers(ask(handle, "Telling"))
        told = send(handle, "describe", "Batching", "a").result()
        assert told == "loaded as soon as it is asked for"
        numbers(ask(handle, "Batching"))
        assert send(handle, "describe", "Batching", "a").result() == "batching"
        assert numbers(ask(handle, "Telling"))[0] == 2


def test_an_error_comes_with_its_text() -> None:
    with running(Telling, Missing) as handle:
        answer = ask(handle, "Telling", text="fail").result()
        assert type(answer) is RemotePolicyError
        assert str(answer) == "it does not want to"
        for answer in (
            ask(handle, "Missing").result(),
            send(handle, "reset", "Missing", "a", Client("any", "a")).result(),
        ):
            assert type(answer) is BackendUnavailable
            assert str(answer) == "the model is not there"


def test_a_replica_that_hangs_is_replaced() -> None:
    settings = Settings(stuck_after_s=1.0)
    with running(Telling, settings=settings, health_check_period_s=0.5) as handle:
        _, first, _ = numbers(ask(handle, "Telling"))
        ask(handle, "Telling", text="hang")
        until(lambda: not os.path.exists(f"/proc/{first:.0f}"))
        _, second, _ = numbers(ask(handle, "Telling"))
        assert second != first


def test_ray_chooses_the_replica_where_nobody_is_remembered() -> None:
    for kind, sticky in ((Telling, False), (Remembering, True)):
        options = RayOptions({"one": choice(kind)}, Settings())
        router = ray_policy.policy_deployment(options)._deployment_config.request_router_config
        assert ("ConsistentHash" in str(router.request_router_class)) is sticky


def test_a_policy_that_cannot_be_made_is_refused_before_anything_runs() -> None:
    options = read_options({"policies": {"nobody": {"robot": "so101_sim"}}})
    with refused(ConfigError, "policies: 'nobody' is not known"):
        ray_policy.policy_deployment(options)
