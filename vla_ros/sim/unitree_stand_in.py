# SPDX-License-Identifier: Apache-2.0
"""The program ``unitree_stand_in``: speaks as unitree_sim_isaaclab does, for a world in MuJoCo.

Unitree's DDS topics of a G1 with Inspire hands, on the simulator's domain, and teleimager's ports.
The world's time runs with the clock; the state is sent at a rate, half of the messages say the same
again, as there. ``rt/arm_sdk`` is not heard, as there. Rendering has a process of its own. One
thread. Exit status 0 after SIGINT or SIGTERM, 1 after a failure, 2 where something told is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.drivers.unitree.body_spec import load_unitree_spec
from vla_ros.drivers.unitree.idl_go import MotorCmds, MotorStates
from vla_ros.drivers.unitree.idl_hg import LowCmd, LowState
from vla_ros.drivers.unitree.idl_std import String
from vla_ros.drivers.unitree.session import MAX_DOMAIN, DdsSession
from vla_ros.sim.image_feed import ImageFeed, Shown, image_feed
from vla_ros.sim.image_program import FAILED, READY, add_options, arguments, rate
from vla_ros.sim.real_time import RealTime
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.unitree_robot import UnitreeRobot
from vla_ros.sim.world import World

# Of those messages that are sent, every second has a new state and reward, every tenth a new scene.
_LOOK_EVERY, _SCENE_EVERY = 2, 10
_READY_S, _PERIOD_S = 60.0, 0.1
_END_S = 2.0
_LOG_EVERY_S = 5.0
# What Unitree's simulator is told on rt/reset_pose/cmd.
_RESET_OBJECT, _RESET_ALL = "1", "2"
_LOG = logging.getLogger("unitree_stand_in")


class StandIn:
    """The simulator: a world behind Unitree's topics."""

    def __init__(
        self, world: World, robot: UnitreeRobot, session: DdsSession, *, seed: int, task_name: str
    ) -> None:
        """Join the topics; the world has been made with the seed.

        Raises:
            DeviceError: The topics cannot be joined.
        """
        self._world = world
        self._robot = robot
        self._first_seed = self._seed = seed
        self._task_name = task_name
        self._resets = 0
        self._sent = 0
        self._time = RealTime()
        self._warned_s: dict[str, float] = {}
        self._states = session.writer("rt/lowstate", LowState)
        self._hands = session.writer("rt/inspire/state", MotorStates)
        self._scenes = session.writer("rt/sim_state", String)
        self._rewards = session.writer("rt/rewards_state", String)
        self._body_commands = session.reader("rt/lowcmd", LowCmd)
        self._hand_commands = session.reader("rt/inspire/cmd", MotorCmds)
        self._reset_commands = session.reader("rt/reset_pose/cmd", String)

    @property
    def shown(self) -> Shown:
        """What images shall show now."""
        return Shown(self._seed, self._world.posture())

    def begin(self, now_s: float) -> None:
        """Let the world's time run.

        Args:
            now_s: The steady clock's time.
        """
        self._time.begin(world_s=self._world.time_s, now_s=now_s)

    def tick(self, now_s: float, wall_s: float) -> None:
        """Hear what came, let time go on, and send the state.

        Args:
            now_s: The steady clock's time.
            wall_s: The wall clock's.

        Raises:
            DeviceError: The topics are lost.
        """
        self._hear(now_s)
        until_s, lost_s = self._time.until(world_s=self._world.time_s, now_s=now_s)
        if lost_s:
            self._warn(f"slower than real time; lost {lost_s:.2f} s", "slow", now_s)
        self._world.advance(until_s)
        if self._sent % _LOOK_EVERY == 0:
            self._robot.look()
            self._rewards.write(String(self._robot.rewards(wall_s)))
        if self._sent % _SCENE_EVERY == 0:
            self._scenes.write(String(self._robot.sim_state(self._task_name)))
        self._states.write(self._robot.body_state())
        self._hands.write(self._robot.hands_state())
        self._sent += 1

    def _hear(self, now_s: float) -> None:
        reset = self._reset_commands.take()
        if reset is not None:
            self._reset(reset.data, now_s)
        body = self._body_commands.take()
        if body is not None and not self._robot.follow_body(body):
            self._warn("rt/lowcmd: CRC verification failed, command dropped", "crc", now_s)
        hands = self._hand_commands.take()
        if hands is not None and not self._robot.follow_hands(hands):
            count = len(hands.cmds)
            self._warn(f"rt/inspire/cmd: ignored, it has {count} values", "hands", now_s)

    def _reset(self, told: str, now_s: float) -> None:
        if told == _RESET_OBJECT:
            self._world.put_objects_back()
            _LOG.info("reset object: seed %d", self._seed)
        elif told == _RESET_ALL:
            self._seed = self._first_seed + self._resets
            self._resets += 1
            self._world.reset(self._seed)
            self._robot.begin()
            self.begin(now_s)
            _LOG.info("reset all: seed %d: %s", self._seed, self._world.instruction)
        else:
            self._warn(f"rt/reset_pose/cmd: {told!r} is neither 1 nor 2", "reset", now_s)

    def _warn(self, text: str, kind: str, now_s: float) -> None:
        """Warn, but not again and again."""
        if now_s - self._warned_s.get(kind, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._warned_s[kind] = now_s
            _LOG.warning("%s", text)


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(
        prog="unitree_stand_in",
        description="Speaks as unitree_sim_isaaclab does, for a world in MuJoCo.",
    )
    add_options(made)
    made.add_argument("--unitree", default="g1_inspire", help="in config/unitree (%(default)s)")
    made.add_argument("--domain", type=int, default=1, help="Unitree's DDS domain (%(default)d)")
    made.add_argument("--network-interface", default="", help="the one that DDS uses; default: any")
    made.add_argument("--seed", type=int, default=0, help="of the first world (%(default)d)")
    made.add_argument(
        "--state-rate", type=rate, default=100.0, help="states per second [Hz] (%(default)g)"
    )
    made.add_argument(
        "--task",
        default="Isaac-PickPlace-Cylinder-G129-Inspire-Joint",
        help="the task's name that is told (%(default)s)",
    )
    return made


@contextlib.contextmanager
def image_program(
    options: argparse.Namespace, ended: Callable[[], bool]
) -> Iterator[tuple[ImageFeed, Callable[[], None]]]:
    """The program that renders: its feed, and what raises when it has ended.

    Raises:
        ConfigError: It cannot serve images as it was told to.
        VlaRosError: It has ended without a word.
    """
    ours, its = image_feed()
    with contextlib.closing(ours), contextlib.closing(its):
        # Signals to this program's group are not for it: it ends with the feed.
        process = subprocess.Popen(
            arguments(options, its), pass_fds=[its.fileno()], start_new_session=True
        )
        its.close()

        def check() -> None:
            if process.poll() is not None:
                raise VlaRosError(f"the image program has ended with status {process.returncode}")

        try:
            _wait_until_ready(ours, ended)
            yield ours, check
        finally:
            ours.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(feed: ImageFeed, ended: Callable[[], bool]) -> None:
    told, waited_until_s = None, time.monotonic() + _READY_S
    while told is None and not ended() and time.monotonic() < waited_until_s:
        told = feed.told(_PERIOD_S)
    if ended():
        return
    if told is None:
        raise VlaRosError(f"the image program was not ready within {_READY_S:g} s")
    if told.startswith(FAILED):
        raise ConfigError(told.removeprefix(FAILED))
    _LOG.info("images: %s", told.removeprefix(READY))


def serve(options: argparse.Namespace, ended: Callable[[], bool]) -> None:
    """Play the simulator.

    Args:
        options: See ``parser``.
        ended: Whether it shall end.

    Raises:
        VlaRosError: A description is wrong, a port is taken, or the topics are lost.
    """
    if not 0 <= options.domain <= MAX_DOMAIN:
        raise ConfigError(f"--domain must be 0 to {MAX_DOMAIN}, found {options.domain}")
    robot = load_robot_spec(config_file("robots", options.robot))
    unitree = load_unitree_spec(config_file("unitree", options.unitree))
    world = World(robot, load_scene_spec(config_file("sim", options.scene)), renderer="raycast")
    world.reset(options.seed)
    body = UnitreeRobot(world, robot, unitree)
    with (
        image_program(options, ended) as (feed, check_images),
        contextlib.closing(DdsSession(options.domain, options.network_interface)) as session,
    ):
        stand_in = StandIn(world, body, session, seed=options.seed, task_name=options.task)
        _LOG.info("DDS domain %d, seed %d: %s", options.domain, options.seed, world.instruction)
        period_s = 1.0 / options.state_rate
        due_s = time.monotonic()
        stand_in.begin(due_s)
        while not ended():
            stand_in.tick(time.monotonic(), time.time())
            check_images()
            feed.show(stand_in.shown)
            due_s = max(due_s + period_s, time.monotonic() - period_s)
            time.sleep(max(due_s - time.monotonic(), 0.0))


class _Signals:
    """Whether SIGINT or SIGTERM came."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.came = True


def main(told: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = parser().parse_args(told)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    signals = _Signals()
    try:
        serve(options, lambda: signals.came)
    except ConfigError as error:
        _LOG.error("%s", error)
        return 2
    except VlaRosError as error:
        _LOG.error("%s", error)
        return 1
    _LOG.info("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
