# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory
from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import ExecutorState, ObservationRequest

from test.ros.harness import Domain
from test.support.arm import CALIBRATION, SPEC, START, TEMPERATURE, TICKS, arm_bus
from test.support.programs import program
from test.support.servo_bus import ServoBus as Emulated
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.config_files import config_file
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.executor import Executor
from vla_ros.nodes.so101_driver import So101Driver
from vla_ros.ros.commands import joint_trajectory, position_array
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.qos import COMMAND, EVENT, LATCHED, NEWEST, STATE
from vla_ros.ros.ring_messages import chunk_to_message
from vla_ros.ros.stamps import ns_from_time

ROBOT = config_file("robots", "so101")
JOINTS = tuple(interface.rpartition("/")[0] for interface in SPEC.interfaces)
[STREAM] = load_robot_spec(ROBOT).state_streams.values()
[GROUP] = load_robot_spec(ROBOT).command_groups.values()
HOME = TICKS.to_rad(START)
STEP = np.abs(TICKS.scale)


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    with arm_bus(tmp_path) as made:
        yield made


@pytest.fixture
def told(emulated: Emulated, tmp_path: Path) -> dict[str, Any]:
    """The driver's parameters."""
    return {"port": str(emulated.port), "calibration": str(tmp_path / "mine.json")}


class Arm:
    """What a robot's user sees of it."""

    def __init__(self, domain: Domain, *, commands: type = Float64MultiArray) -> None:
        self.domain = domain
        self.states: list[JointState] = domain.collect(JointState, STREAM.topic, STATE)
        self.reports: list[DiagnosticArray] = domain.collect(DiagnosticArray, TOPIC, EVENT)
        self._commands = domain.publisher(commands, GROUP.topic, COMMAND)

    def send(self, message: Any) -> None:
        self._commands.publish(message)

    def position(self) -> np.ndarray:
        return np.array(self.states[-1].position)

    def keep_sending(self, target: np.ndarray, condition: Any, what: str) -> None:
        """Command as an executor does, until something is true."""
        due_s = 0.0

        def sent() -> bool:
            nonlocal due_s
            if time.monotonic() > due_s:
                due_s = time.monotonic() + 0.02
                self.send(position_array(target))
            return bool(condition())

        self.domain.spin_until(sent, what)

    def arrive(self, target: np.ndarray) -> None:
        def arrived() -> bool:
            return bool((np.abs(self.position() - target) <= 1.01 * STEP).all())

        self.keep_sending(target, arrived, f"{target}")

    def says(self, part: str, level: bytes, text: str = "") -> bool:
        """Whether the newest report says so."""
        newest = {
            status.name.rpartition(": ")[2]: status for status in self.reports[-1].status
        } if self.reports else {}  # fmt: skip
        status = newest.get(part)
        return status is not None and status.level == level and text in status.message

    def torque(self, on: bool) -> SetBool.Response:
        return self.domain.call(SetBool, "/so101_driver/torque", SetBool.Request(data=on))


def now_ns(domain: Domain) -> int:
    return domain.peer.get_clock().now().nanoseconds


def started(domain: Domain, told: dict[str, Any], **more: Any) -> Arm:
    assert domain.add(So101Driver, **{**told, **more}).start()
    arm = Arm(domain)
    domain.spin_until(lambda: arm.states, "a joint state")
    return arm


def test_the_arm_is_measured_in_radians_at_its_rate(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)

    arm.states.clear()
    domain.spin_for(1.0)

    assert 50 <= len(arm.states) <= 105
    newest = arm.states[-1]
    assert tuple(newest.name) == JOINTS
    np.testing.assert_allclose(newest.position, HOME, atol=1e-9)
    assert list(newest.velocity) == list(newest.effort) == [0.0] * 6
    stamps = [ns_from_time(state.header.stamp) for state in arm.states]
    assert np.median(np.diff(stamps)) == pytest.approx(10_000_000, rel=0.1)
    age_s = (domain.peer.get_clock().now().nanoseconds - stamps[-1]) * 1e-9
    assert 0.0 < age_s < 0.1


def test_the_arm_does_not_move_by_itself(domain: Domain, emulated: Emulated, told):
    for servo in SPEC.ids:
        emulated.register(servo, 43, 4)  # an old goal

    started(domain, told)
    domain.spin_for(0.3)

    look = emulated.look()
    assert look.torque() == [True] * 6
    assert look.positions() == look.goals() == START.tolist()


def test_the_arm_follows_positions_within_one_step_of_its_servos(domain: Domain, emulated, told):
    arm = started(domain, told)

    for target in (
        np.array([0.5, 0.4, -0.3, 0.2, 1.0, 1.0]),
        np.array([-0.5, -0.4, 0.3, 0, -1, 0]),
    ):
        arm.arrive(target)
        assert emulated.look().goals() == TICKS.to_ticks(target).tolist()


def test_the_gripper_reaches_both_ends_exactly(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)
    ends = CALIBRATION[SPEC.interfaces[-1]]

    for angle, tick in ((-0.17453, ends.range_min), (1.7453, ends.range_max)):
        arm.arrive(np.append(HOME[:-1], angle))
        domain.spin_until(lambda: emulated.look().positions()[-1] == tick, f"tick {tick}")  # noqa: B023
        domain.spin_until(
            lambda: abs(arm.position()[-1] - angle) < 1e-9,  # noqa: B023
            "the angle that was commanded",
        )


def test_the_arm_follows_a_trajectory(domain: Domain, emulated: Emulated, told, tmp_path: Path):
    robot = tmp_path / "robot.yaml"
    text = ROBOT.read_text().replace("position_array", "joint_trajectory")
    robot.write_text(text.replace("urdf: so101.urdf\n", ""))
    assert domain.add(So101Driver, **told, robot=str(robot)).start()
    arm = Arm(domain, commands=JointTrajectory)
    domain.spin_until(lambda: arm.states, "a joint state")
    target = HOME + 0.4
    message = joint_trajectory(JOINTS[::-1], target[::-1], 800_000_000)

    arm.send(message)
    domain.spin_for(0.4)
    halfway = (arm.position() - HOME).max()
    domain.spin_until(lambda: np.abs(arm.position() - target).max() <= 1.01 * STEP.max(), "its end")

    assert 0.05 < halfway < 0.35, "a straight line, not a jump"


def test_a_goal_moves_so_much_per_tick(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told, max_step_rad=0.002)
    begun_s = time.monotonic()
    target = HOME + np.array([0.2, 0, 0, 0, 0, 0])

    arm.keep_sending(target, lambda: arm.position()[0] > HOME[0] + 0.19, "the target")

    assert time.monotonic() - begun_s > 0.9, "0.19 rad at 0.2 rad/s"
    assert domain.set_parameter("so101_driver", "max_step_rad", 0.0).successful
    domain.spin_for(0.2)
    stopped = emulated.look().goals()
    arm.keep_sending(HOME, lambda: time.monotonic() - begun_s > 2.0, "time")
    assert emulated.look().goals() == stopped


def test_commands_are_kept_within_the_robots_limits(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)

    arm.arrive(np.append(np.array([1.9199]), HOME[1:]))
    far = np.append(np.array([3.0]), HOME[1:])
    begun_s = time.monotonic()
    arm.keep_sending(far, lambda: time.monotonic() - begun_s > 0.3, "time")

    assert arm.position()[0] == pytest.approx(1.9199, abs=1.01 * STEP[0])


def test_the_arm_keeps_its_place_when_commands_stop(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told, max_step_rad=0.001, command_timeout_s=0.2)
    begun_s = time.monotonic()
    arm.keep_sending(HOME + 0.3, lambda: time.monotonic() - begun_s > 0.2, "time")
    domain.spin_until(lambda: arm.says("commands", DiagnosticStatus.OK, "place is kept"), "quiet")

    domain.spin_for(0.1)
    kept = emulated.look().goals()
    domain.spin_for(0.3)

    assert emulated.look().goals() == kept
    assert kept[0] - START[0] < 0.6 / STEP[0]


def test_bad_commands_are_ignored_whole(domain: Domain, emulated: Emulated, told, capfd):
    arm = started(domain, told)

    arm.send(Float64MultiArray(data=[0.0] * 5))
    arm.send(Float64MultiArray(data=[float("nan")] * 6))
    domain.spin_for(0.3)

    assert emulated.look().goals() == START.tolist()
    assert "the command has 5 values, expected 6" in capfd.readouterr().err


def test_torque_can_be_let_go_and_taken_again(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)

    assert arm.torque(False).success
    domain.spin_until(
        lambda: arm.says("bus", DiagnosticStatus.WARN, "torque is off"), "the diagnostic"
    )
    emulated.servo(1, shaft=2300.0)
    arm.send(position_array(np.zeros(6)))
    domain.spin_for(0.2)
    assert emulated.look().torque() == [False] * 6
    assert emulated.look().positions() == [2312, *START[1:]]

    assert arm.torque(True).success
    domain.spin_for(0.2)
    look = emulated.look()
    assert look.torque() == [True] * 6
    assert look.goals() == look.positions() == [2312, *START[1:]], "what was said before is void"


def test_a_dry_run_measures_and_writes_nothing(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told, dry_run=True)

    arm.send(position_array(np.zeros(6)))
    domain.spin_for(0.3)
    answer = arm.torque(True)

    assert (answer.success, answer.message) == (
        False,
        "this is a dry run: the servos are only read",
    )
    assert emulated.look().writes == 0
    assert arm.says("bus", DiagnosticStatus.WARN, "dry run")


def test_deactivating_leaves_the_arm_where_it_is_unless_told(domain: Domain, emulated, told):
    node = domain.add(So101Driver, **told)
    assert node.start()
    node.trigger_deactivate()
    domain.spin_for(0.05)
    assert emulated.look().torque() == [True] * 6

    assert domain.set_parameter("so101_driver", "torque_off_on_deactivate", True).successful
    node.trigger_activate()
    node.trigger_deactivate()
    domain.spin_for(0.05)
    assert emulated.look().torque() == [False] * 6


def test_a_hot_servo_is_reported(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)

    emulated.register(3, TEMPERATURE, 66)
    domain.spin_until(
        lambda: arm.says(f"servo {JOINTS[2]}", DiagnosticStatus.ERROR, "is too hot"), "the report"
    )


def test_a_lost_servo_is_named_and_taken_back(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)

    emulated.spoil(missing={4})
    domain.spin_until(
        lambda: arm.says(f"servo {JOINTS[3]}", DiagnosticStatus.ERROR, "does not answer"), "report"
    )
    assert arm.says("bus", DiagnosticStatus.ERROR, f"no answer from {SPEC.interfaces[3]} (id 4)")
    arm.states.clear()
    domain.spin_for(0.3)
    assert arm.states == [], "half a state is none"

    emulated.spoil(missing=set())
    domain.spin_until(lambda: arm.states, "joint states again")
    domain.spin_until(lambda: arm.says("bus", DiagnosticStatus.OK), "the report")


def test_servos_without_power_are_reported_while_commands_go_on(
    domain: Domain, emulated: Emulated, told
):
    arm = started(domain, told)
    cut_ns = now_ns(domain)
    emulated.spoil(missing=set(SPEC.ids))

    arm.keep_sending(HOME, lambda: arm.says("bus", DiagnosticStatus.ERROR), "the report")
    reported_s = (ns_from_time(arm.reports[-1].header.stamp) - cut_ns) * 1e-9
    arm.keep_sending(
        HOME,
        lambda: all(arm.says(f"servo {joint}", DiagnosticStatus.ERROR) for joint in JOINTS),
        "the names of all",
    )

    assert reported_s < 0.2, reported_s


def test_bad_packets_are_skipped(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)
    arm.states.clear()

    for kind in ("corrupt", "truncated", "noisy") * 3:
        emulated.spoil(**{kind: 1})
        domain.spin_for(0.05)
    domain.spin_until(lambda: len(arm.states) > 40, "states")

    for state in arm.states:
        np.testing.assert_allclose(state.position, HOME, atol=1e-9)
    assert not any(
        status.level == DiagnosticStatus.ERROR for report in arm.reports for status in report.status
    )


def test_a_pulled_cable_is_reported_and_the_arm_goes_on_when_it_is_back(
    domain: Domain, emulated: Emulated, told
):
    arm = started(domain, told)
    target = HOME + 0.2
    arm.arrive(target)
    reached = TICKS.to_ticks(target).tolist()
    domain.spin_until(lambda: emulated.look().positions() == reached, "the end of the motion")

    pulled_ns, begun_s = now_ns(domain), time.monotonic()
    emulated.pull()
    domain.spin_until(lambda: arm.says("bus", DiagnosticStatus.ERROR), "the report")
    reported_s = (ns_from_time(arm.reports[-1].header.stamp) - pulled_ns) * 1e-9
    count = len(arm.states)
    arm.keep_sending(HOME, lambda: time.monotonic() - begun_s > 0.5, "time")
    assert len(arm.states) == count, "nothing is measured"
    assert emulated.look().positions() == reached, "the servos hold"

    plugged_ns = now_ns(domain)
    emulated.plug()
    domain.spin_until(lambda: len(arm.states) > count, "joint states again")
    back_s = (ns_from_time(arm.states[count].header.stamp) - plugged_ns) * 1e-9
    domain.spin_until(lambda: arm.says("bus", DiagnosticStatus.OK), "the report")
    assert emulated.look().goals() == reached, "what was said meanwhile is void"
    arm.arrive(HOME)

    assert reported_s < 0.2, reported_s
    assert back_s < 0.6, back_s


def test_the_executor_holds_while_the_cable_is_pulled(domain: Domain, emulated: Emulated, told):
    arm = started(domain, told)
    policy = load_policy_spec(config_file("policies", "so101_gr00t"))
    goal = HOME + 0.1
    peer = domain.peer
    chunks = peer.create_publisher(ActionChunkMsg, "action_chunk", EVENT)
    states: list[ExecutorState] = []

    def answer(request: ObservationRequest) -> None:
        made_ns = now_ns(domain)
        timing = ChunkTiming(ns_from_time(request.stamp), made_ns, made_ns)
        rows = np.tile(goal, (policy.horizon, 1))
        chunk = ActionChunk(
            made_ns, policy.step_ns, policy.action_names, rows, request.request_id, request.epoch,
            timing,
        )  # fmt: skip
        chunks.publish(chunk_to_message(chunk, "test"))

    peer.create_subscription(ObservationRequest, "observation_request", answer, NEWEST)
    peer.create_subscription(ExecutorState, "executor/state", states.append, LATCHED)
    told_executor = {"robot": "so101", "policy": "so101_gr00t", "realtime_priority": 0}
    assert domain.add(Executor, **told_executor).start()

    def until(mode: str, reason: str = "") -> float:
        """How long it took until the executor was in a state [s]."""
        begun_ns, begin = now_ns(domain), len(states)

        def found() -> list[ExecutorState]:
            return [s for s in states[begin:] if (s.mode, s.hold_reason) == (mode, reason)]

        domain.spin_until(found, f"{mode} {reason}")
        return (ns_from_time(found()[0].header.stamp) - begun_ns) * 1e-9

    until("move")
    domain.spin_until(lambda: np.abs(arm.position() - goal).max() <= 1.01 * STEP.max(), "the goal")
    emulated.pull()
    hold_s = until("hold", "stale_state")
    emulated.plug()
    back_s = until("move")

    assert hold_s < 0.2, hold_s
    assert back_s < 1.0, back_s
    domain.spin_for(0.3)
    assert np.abs(arm.position() - goal).max() <= 1.01 * STEP.max()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"port": "gone"}, "gone cannot be opened: "),
        ({"calibration": "none.json"}, "none.json: cannot be read: "),
        ({"servos": "nothing"}, "servos: 'nothing' is not known; known: so101"),
        ({"robot": "gr1_recording"}, "is not in"),
    ],
)
def test_what_does_not_fit_is_refused(domain: Domain, told, capfd, parameters, text):
    assert not domain.add(So101Driver, **{**told, **parameters}).start()
    assert text in capfd.readouterr().err


def test_a_servo_that_the_robot_does_not_command_is_held(
    domain: Domain, emulated: Emulated, told, tmp_path: Path
):
    robot = tmp_path / "robot.yaml"
    data = yaml.safe_load(ROBOT.read_text())
    last = SPEC.interfaces[-1]
    data.pop("urdf")
    data["interfaces"].pop(last)
    [group] = data["command_groups"].values()
    group["interfaces"].remove(last)
    robot.write_text(yaml.safe_dump(data, sort_keys=False))
    arm = started(domain, told, robot=str(robot))

    arm.keep_sending(
        HOME[:-1] + 0.2, lambda: arm.position()[0] > HOME[0] + 0.19, "the others' motion"
    )

    assert arm.position()[-1] == pytest.approx(HOME[-1], abs=1e-9)
    assert emulated.look().torque()[-1]


def test_a_robot_with_other_names_is_refused(domain: Domain, told, capfd, tmp_path: Path):
    robot = tmp_path / "robot.yaml"
    text = ROBOT.read_text().replace("urdf: so101.urdf\n", "")
    robot.write_text(
        text.replace("max_age_s: 0.1", f"max_age_s: 0.1\n    joints: {{{JOINTS[0]}: x}}")
    )

    assert not domain.add(So101Driver, **told, robot=str(robot)).start()
    assert "joints, scale and offset may not stand here" in capfd.readouterr().err


def test_it_runs_as_a_program(domain: Domain, emulated: Emulated, told):
    parameters = [part for name, value in told.items() for part in ("-p", f"{name}:={value}")]
    command = ["-m", "vla_ros.nodes.so101_driver", "--ros-args", *parameters]
    with program(command, ROS_DOMAIN_ID=str(domain.id)) as running:
        arm = Arm(domain)
        domain.spin_until(lambda: arm.states, "a joint state")
        arm.arrive(HOME + 0.1)
        running.process.terminate()
        assert running.process.wait(10) == 0
    assert emulated.look().torque() == [True] * 6
