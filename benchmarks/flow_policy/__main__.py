# SPDX-License-Identifier: Apache-2.0
"""Trains the flow-matching pick-and-place policy: ``python -m benchmarks.flow_policy``.

In the first round the demonstrator drives, in all later ones the policy as it is by then, so that
it is shown how to come back from where it gets itself to. The same seed gives the same weights on
the same machine. Half an hour on one core; nothing is needed but what the simulation needs.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.flow_policy.demonstrations import Demonstrator, Recorder
from benchmarks.flow_policy.training import Schedule, train, untrained
from vla_ros.backends._flow_network import Floats, Network, save_network
from vla_ros.backends._pick_and_place_skill import make_skill
from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.flow_pick_and_place import Backend, Config
from vla_ros.core.config_files import config_file
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.sim.episode import Episode
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.timing import Timing
from vla_ros.sim.world import World

_LOG = logging.getLogger("flow_policy")
# Episodes that are trained on; those that are tested begin at zero.
_FIRST_SEED = 100_000
_LATENCIES_S = (0.0, 0.1, 0.2, 0.3)
_DRAFT = Schedule(hidden=(256, 256, 256), steps=6_000)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="flow_policy", description=__doc__)
    made.add_argument("--rounds", type=int, default=2, help="of episodes (%(default)s)")
    made.add_argument("--episodes", type=int, default=200, help="in each round (%(default)s)")
    made.add_argument("--steps", type=int, default=Schedule().steps, help="(%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    made.add_argument("--out", type=Path, default=Path("config/policies/so101_flow.npz"))
    return made


class School:
    """Collects what there is to learn, round by round."""

    def __init__(self, seed: int) -> None:
        """Build the simulation."""
        self.robot = load_robot_spec(config_file("robots", "so101_sim"))
        self.policy = load_policy_spec(config_file("policies", "so101_flow"))
        self.rng = np.random.default_rng(seed)
        scene = load_scene_spec(config_file("sim", "so101_table"))
        self._world = World(self.robot, scene, renderer="raycast")
        drives, watches = (
            make_skill(Config().task, self.robot, self.policy) for _ in ("drives", "watches")
        )
        self.interfaces = drives.interfaces
        self.demonstrator = Demonstrator(drives, self.rng)
        self._recorder = Recorder(self.demonstrator, watches, self.rng)
        self._next_seed = _FIRST_SEED

    def attend(self, driver: PolicyBackend, episodes: int) -> None:
        """Watch somebody drive, and note what would have been right."""
        begun_s, successes = time.monotonic(), 0
        for count in range(1, episodes + 1):
            timing = Timing(latency_s=float(self.rng.choice(_LATENCIES_S)), max_duration_s=15.0)
            self._recorder.begin()
            episode = Episode(
                self._world,
                driver,
                params=ExecutorParams(),
                timing=timing,
                watch=lambda tick: self._recorder.watch(tick.world),
            )
            successes += episode.run(self._next_seed).task.success
            self._next_seed += 1
            if count % 20 == 0:
                spent_s = time.monotonic() - begun_s
                _LOG.info("%d episodes, %d succeeded, %.0f s", count, successes, spent_s)

    def lessons(self) -> tuple[Floats, Floats]:
        """(N, F) Features, and (N, H, D) right answers from where the arm was."""
        noted = self._recorder
        answers = np.array(noted.answers, np.float32)
        answers[:, :, :-1] -= np.array(noted.bases, np.float32)[:, None]
        return np.array(noted.seen, np.float32), answers

    def teach(self, schedule: Schedule) -> Network:
        """A network that learned all that was noted."""
        seen, answers = self.lessons()
        _LOG.info("%d lessons", len(seen))
        network = untrained(self.interfaces, seen, answers, schedule.hidden, self.rng)
        return train(network, seen, answers, schedule, self.rng)

    def pupil(self, network: Network, folder: Path) -> Backend:
        """Somebody who drives as a network would."""
        path = folder / "draft.npz"
        save_network(network, path)
        backend = Backend(Config(weights=str(path)), robot=self.robot, policy=self.policy)
        backend.connect()
        return backend


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parser().parse_args(arguments)
    school = School(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        school.attend(school.demonstrator, options.episodes)
        for _ in range(options.rounds - 1):
            school.attend(school.pupil(school.teach(_DRAFT), Path(folder)), options.episodes)
    save_network(school.teach(Schedule(steps=options.steps)), options.out)
    _LOG.info("wrote %s, %.0f kB", options.out, options.out.stat().st_size / 1e3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
