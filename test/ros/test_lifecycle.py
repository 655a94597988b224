# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import threading

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from test.ros.harness import Domain
from vla_ros.core.errors import ConfigError
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT


class Recorder(LifecycleBase):
    """Writes down what happens; fails where it is told to."""

    def __init__(self, **kwargs) -> None:
        super().__init__("recorder", **kwargs)
        self.events: list[str] = []
        self.errors: dict[str, Exception] = {}

    def _do(self, what: str, undo: contextlib.ExitStack) -> None:
        for part in ("first", "second"):
            self.events.append(f"{what} {part}")
            undo.callback(self.events.append, f"undo {what} {part}")
        if what in self.errors:
            raise self.errors[what]

    def configure(self, undo: contextlib.ExitStack) -> None:
        self._do("configure", undo)

    def activate(self, undo: contextlib.ExitStack) -> None:
        self._do("activate", undo)


UP = ["configure first", "configure second", "activate first", "activate second"]
DOWN = [f"undo {event}" for event in reversed(UP)]


@pytest.fixture
def node(domain: Domain) -> Recorder:
    return domain.add(Recorder)


def transition(domain: Domain, name: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=name))
    return domain.call(ChangeState, "/recorder/change_state", request).success


def state(domain: Domain) -> int:
    return domain.call(GetState, "/recorder/get_state", GetState.Request()).current_state.id


def test_the_way_up_and_down_through_services(domain: Domain, node: Recorder):
    assert transition(domain, Transition.TRANSITION_CONFIGURE)
    assert transition(domain, Transition.TRANSITION_ACTIVATE)
    assert state(domain) == State.PRIMARY_STATE_ACTIVE
    assert node.events == UP

    assert transition(domain, Transition.TRANSITION_DEACTIVATE)
    assert transition(domain, Transition.TRANSITION_CLEANUP)
    assert state(domain) == State.PRIMARY_STATE_UNCONFIGURED
    assert node.events == UP + DOWN

    assert node.start()
    assert node.events == UP + DOWN + UP


def test_shutdown_undoes_everything_and_ends_the_process(domain: Domain, node: Recorder):
    assert node.start()
    assert transition(domain, Transition.TRANSITION_ACTIVE_SHUTDOWN)

    assert node.events == UP + DOWN
    assert node.exit_code.result() == 0
    node.tear_down()
    assert node.events == UP + DOWN


def test_it_falls_silent_only_if_it_was_active(node: Recorder):
    assert not node.fall_silent()
    node.start()
    assert node.fall_silent()
    assert not node.fall_silent()


def test_tear_down_works_in_every_state(node: Recorder):
    assert node.start()
    node.tear_down()
    node.tear_down()

    assert node.events == UP + DOWN


@pytest.mark.parametrize(
    ("step", "reached", "undone"),
    [
        ("configure", State.PRIMARY_STATE_UNCONFIGURED, DOWN[2:]),
        ("activate", State.PRIMARY_STATE_INACTIVE, DOWN[:2]),
    ],
)
def test_a_config_error_fails_the_transition_and_says_why(
    domain: Domain, node: Recorder, capfd: pytest.CaptureFixture, step, reached, undone
):
    node.errors[step] = ConfigError("robot.yaml: nonsense")

    assert not node.start()

    assert state(domain) == reached
    assert node.events[-2:] == undone
    logged = capfd.readouterr().err
    assert "[FATAL]" in logged
    assert "robot.yaml: nonsense" in logged
    assert "Traceback" not in logged


@pytest.mark.parametrize("step", ["configure", "activate"])
def test_another_exception_is_logged_with_its_traceback_and_everything_undone(
    domain: Domain, node: Recorder, capfd: pytest.CaptureFixture, step
):
    node.errors[step] = ZeroDivisionError("a mistake")

    assert not node.start()

    assert state(domain) == State.PRIMARY_STATE_UNCONFIGURED
    assert node.events[-2:] == DOWN[2:]
    logged = capfd.readouterr().err
    assert "Traceback" in logged
    assert "ZeroDivisionError: a mistake" in logged


def test_after_an_error_the_way_up_is_free_again(node: Recorder):
    node.errors["configure"] = ZeroDivisionError("a mistake")
    assert not node.start()
    node.errors.clear()
    node.events.clear()

    assert node.start()
    assert node.events == UP


def test_an_error_in_one_undo_does_not_stop_the_others(
    node: Recorder, capfd: pytest.CaptureFixture
):
    assert node.start()

    def fail() -> None:
        raise ZeroDivisionError("while undoing")

    node._activated.callback(fail)
    node.tear_down()

    assert node.events == UP + DOWN
    assert "while undoing" in capfd.readouterr().err


def test_autostart_is_a_parameter(domain: Domain):
    assert domain.add(Recorder).autostart
    assert not domain.add(Recorder, autostart=False).autostart


def test_a_failing_thread_is_logged_and_ends_the_process(
    node: Recorder, capfd: pytest.CaptureFixture
):
    def work() -> None:
        with node.fatal("the busy thread"):
            raise ZeroDivisionError("a mistake")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    node.end_process(0)

    assert node.exit_code.result() == 1
    logged = capfd.readouterr().err
    assert "ZeroDivisionError: a mistake" in logged
    assert "the busy thread has failed" in logged


def test_a_thread_that_ends_well_ends_nothing(node: Recorder):
    with node.fatal("the busy thread"):
        pass

    assert not node.exit_code.done()


def test_what_was_made_is_undone(domain: Domain, node: Recorder):
    ticks: list[int] = []
    with contextlib.ExitStack() as undo:
        publisher = node.publisher(undo, String, "out", EVENT)
        received: list[str] = []
        node.subscribe(undo, String, "in", lambda message: received.append(message.data), EVENT)
        node.serve(undo, Trigger, "~/ask", lambda _, response: response)
        node.every(undo, 0.01, lambda: ticks.append(1))
        heard = domain.collect(String, "out", EVENT)
        speaker = domain.publisher(String, "in", EVENT)
        publisher.publish(String(data="from"))
        speaker.publish(String(data="to"))
        domain.call(Trigger, "/recorder/ask", Trigger.Request())
        domain.spin_until(lambda: heard and received and ticks, "everything")

    domain.spin_until(lambda: speaker.get_subscription_count() == 0, "the end of the subscription")
    domain.spin_until(lambda: domain.peer.count_publishers("out") == 0, "the end of the publisher")
    domain.spin_until(lambda: domain.peer.count_services("/recorder/ask") == 0, "... service")
    count = len(ticks)
    domain.spin_for(0.05)
    assert len(ticks) == count
