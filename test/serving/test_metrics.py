# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vla_ros.serving.metrics import Metrics
from vla_ros.serving.turns import Watcher


def samples(metrics: Metrics, state: str = "ready") -> dict[tuple[str, ...], float]:
    """Name and labels' values to what Prometheus itself reads."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render(state).decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_protocol_and_outcome():
    metrics = Metrics()
    for protocol, outcome in (
        ("act", "ok"), ("act", "ok"), ("act", "error"), ("gr00t", "refused"), ("gr00t", "replaced"),
    ):  # fmt: skip
        metrics.answered(protocol, outcome, 0.3)
    counted = {
        tuple(sorted(key[1:])): value
        for key, value in samples(metrics).items()
        if key[0] == "vla_ros_requests_total"
    }
    assert counted == {
        ("act", "ok"): 2, ("act", "error"): 1, ("gr00t", "refused"): 1, ("gr00t", "replaced"): 1,
    }  # fmt: skip
    assert samples(metrics)["vla_ros_wait_seconds_count",] == 5
    assert samples(metrics)["vla_ros_wait_seconds_sum",] == pytest.approx(1.5)
    assert samples(metrics)["vla_ros_wait_seconds_bucket", "0.2"] == 0
    assert samples(metrics)["vla_ros_wait_seconds_bucket", "0.3"] == 5


def test_batches_are_measured():
    metrics = Metrics()
    metrics.batch(1, 0.05)
    metrics.batch(7, 0.25)
    found = samples(metrics)
    assert found["vla_ros_batch_size_count",] == found["vla_ros_inference_seconds_count",] == 2
    assert found["vla_ros_batch_size_sum",] == 8
    assert found["vla_ros_batch_size_bucket", "4.0"] == 1
    assert found["vla_ros_batch_size_bucket", "8.0"] == 2
    assert found["vla_ros_inference_seconds_sum",] == pytest.approx(0.3)


def test_what_is_now_is_told_and_what_was_is_not():
    metrics = Metrics()
    for count in (3, 5):
        metrics.load(waiting=count, at_work=2 * count)
    found = samples(metrics, "loading")
    assert (found["vla_ros_waiting",], found["vla_ros_clients",]) == (5, 10)
    assert found["vla_ros_state", "loading"] == 1
    found = samples(metrics, "ready")
    states = {key[1]: value for key, value in found.items() if key[0] == "vla_ros_state"}
    assert states == {"loading": 0, "ready": 1, "failed": 0, "ending": 0}


def test_reloads_are_counted():
    metrics = Metrics()
    for ok in (True, False, True):
        metrics.reloaded(ok=ok)
    found = samples(metrics)
    assert found["vla_ros_reloads_total", "ok"] == 2
    assert found["vla_ros_reloads_total", "failed"] == 1


def test_each_server_has_its_own_numbers():
    one, other = Metrics(), Metrics()
    one.reloaded(ok=True)
    assert ("vla_ros_reloads_total", "ok") in samples(one)
    assert ("vla_ros_reloads_total", "ok") not in samples(other)


def test_any_thread_may_count():
    metrics: Watcher = Metrics()

    def count() -> None:
        for _ in range(500):
            metrics.answered("act", "ok", 0.01)
            metrics.batch(2, 0.01)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(metrics, Metrics)
    found = samples(metrics)
    assert found["vla_ros_wait_seconds_count",] == found["vla_ros_batch_size_count",] == 2000
