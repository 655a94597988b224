# SPDX-License-Identifier: Apache-2.0
"""The whole deployment over real ROS 2, with handles on everything that can go wrong in it.

Programs and nodes are processes of their own. The policy server is reached through a proxy, the
sensors through relays. One thread: the one that owns the domain.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_ros_msgs.srv import ResetWorld

from test.ros.harness import Domain
from test.support.tcp_proxy import TcpProxy
from test.system.command_check import Pause
from test.system.deployments import free_port, processes, relayed
from test.system.fault_watch import FaultWatch, now_ns
from vla_ros.bringup.deployment import Deployment
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.bringup.so101_async import So101Async, so101_async
from vla_ros.core import hold_reasons
from vla_ros.core.config_files import config_file
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.ros.qos import EVENT, LATCHED

# A stop is complete, and nothing moves any more, this long after its answer.
AT_REST_NS = 500_000_000


class FaultyRing:
    """Runs inside the block of ``started``.

    Attributes:
        domain: What it is spun with.
        random: Whatever is drawn is drawn from here.
        watch: The witness.
        proxy: Between the inference node and the policy server.
        robot: The body.
        policy: The checkpoint.
        instruction: What the present world's task is.
        notes: What was drawn since somebody last took these away.
    """

    def __init__(
        self, domain: Domain, seed: int, group: ProcessGroup, proxy: TcpProxy, chosen: So101Async
    ) -> None:
        self.domain = domain
        self.random = random.Random(seed)
        self.proxy = proxy
        self.robot = load_robot_spec(config_file("robots", chosen.robot_name))
        self.policy = load_policy_spec(config_file("policies", chosen.policy_name))
        self.watch = FaultWatch(domain, self.robot)
        self.instruction = ""
        self.notes: list[str] = []
        self._group = group
        self._publishers: dict[str, Publisher] = {}
        self._worlds = seed

    def spin_for(self, duration_s: float) -> None:
        """Let it run."""
        self.domain.spin_for(duration_s)

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float) -> None:
        """Spin until something is so.

        Raises:
            AssertionError: It is not in time; the text says how things stand.
            ProcessDied: A process ended that was not killed.
        """
        try:
            self.domain.spin_until(condition, what, timeout_s)
        except AssertionError as error:
            self._group.check()
            raise AssertionError(f"{error}; the executor says: {self.words}") from None

    @property
    def words(self) -> str:
        """How the executor stands, in one line."""
        now = self.watch.state
        return f"{now.mode} {now.hold_reason} {now.detail}"

    def note(self, text: str) -> None:
        """Keep for the report what was drawn."""
        self.notes.append(text)

    def check(self) -> None:
        """Make sure that everything runs that was not killed; raises ``ProcessDied``."""
        self._group.check()

    def say(self, message: Any, topic: str) -> None:
        """Publish something, as one who should not."""
        if topic not in self._publishers:
            qos = LATCHED if topic == "instruction" else EVENT
            self._publishers[topic] = self.domain.publisher(type(message), topic, qos)
        self._publishers[topic].publish(message)

    def instruct(self, instruction: str) -> None:
        """Say what to do."""
        self.say(String(data=instruction), "instruction")

    # Processes.

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process that does nothing meanwhile, and then goes on."""
        number = self._group.pid(name)
        os.killpg(number, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(number, signal.SIGCONT)

    @contextmanager
    def killed(self, name: str) -> Iterator[None]:
        """A process that is gone meanwhile, and started again."""
        self._group.kill(name)
        yield
        self._group.restart(name)

    @contextmanager
    def executor_gone(self, *, politely: bool) -> Iterator[None]:
        """The executor's process is gone meanwhile."""
        if politely:
            os.kill(self._group.pid("executor"), signal.SIGTERM)
            self._group.wait("executor", timeout_s=5.0)
        else:
            self._group.kill("executor")
        with self.pause("the executor's end", at_rest_ns=0):
            yield
            self._group.restart("executor")

    # The executor's services.

    def call(self, name: str) -> str:
        """Call one of the executor's Trigger services; what it says."""
        response = self.domain.call(Trigger, f"executor/{name}", Trigger.Request())
        assert response.success, f"{name}: {response.message}"
        return str(response.message)

    @contextmanager
    def pause(self, why: str, *, at_rest_ns: int = AT_REST_NS) -> Iterator[None]:
        """Nothing may move from now on, until the block ends."""
        quiet_ns = now_ns() + at_rest_ns
        yield
        self.watch.pauses.append(Pause(quiet_ns, now_ns(), why))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The robot is stopped meanwhile."""
        self.call("stop")
        with self.pause("~/stop"):
            yield
        # Its first command may be out before its answer is here.
        self.call("start")

    @contextmanager
    def inactive(self, *, cleaned_up: bool) -> Iterator[None]:
        """The executor's node is not active meanwhile."""
        self._transition("deactivate")
        with self.pause("deactivation", at_rest_ns=0):
            if cleaned_up:
                self._transition("cleanup")
            yield
            if cleaned_up:
                self._transition("configure")
        self._transition("activate")

    def _transition(self, label: str) -> None:
        request = ChangeState.Request()
        request.transition.label = label
        assert self.domain.call(ChangeState, "executor/change_state", request).success, label

    def release(self) -> None:
        """Start again what has stopped by itself because the arm did not follow."""
        if self.watch.state.hold_reason == hold_reasons.NOT_FOLLOWING:
            self.watch.pauses.append(Pause(None, now_ns(), hold_reasons.NOT_FOLLOWING))
            self.call("start")

    def set_parameters(self, values: dict[str, Any]) -> SetParametersResult:
        """What ``ros2 param load`` does: all of them, or none."""
        parameters = [
            Parameter(name, value=list(value) if isinstance(value, tuple) else value)
            if value != ()
            else Parameter(name, Parameter.Type.STRING_ARRAY, [])
            for name, value in values.items()
        ]
        request = SetParametersAtomically.Request(
            parameters=[parameter.to_parameter_msg() for parameter in parameters]
        )
        service = "/executor/set_parameters_atomically"
        return self.domain.call(SetParametersAtomically, service, request).result

    def new_world(self) -> None:
        """Another task; the robot must be stopped."""
        self._worlds += 1
        answer = self.domain.call(
            ResetWorld, "simulation/reset", ResetWorld.Request(seed=self._worlds)
        )
        assert answer.success, answer.message
        self.instruction = answer.instruction
        self.instruct(self.instruction)


@contextmanager
def started(domain: Domain, seed: int, folder: Path) -> Iterator[FaultyRing]:
    """Everything, running; ``folder`` gets the logs."""
    chosen = So101Async(server_port=free_port(), seed=seed)
    with ExitStack() as stack:
        proxy = stack.enter_context(TcpProxy(chosen.server_port))
        made = _through(proxy.port, relayed(so101_async(chosen), chosen.robot_name))
        group = stack.enter_context(processes(made, domain, folder))
        yield FaultyRing(domain, seed, group, proxy, chosen)


def _through(port: int, made: Deployment) -> Deployment:
    """The deployment with the policy server reached at another port."""
    nodes = tuple(
        dataclasses.replace(node, parameters={**node.parameters, "backend.port": port})
        if node.executable == "inference"
        else node
        for node in made.nodes
    )
    return dataclasses.replace(made, nodes=nodes)
