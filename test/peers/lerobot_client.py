# SPDX-License-Identifier: Apache-2.0
"""LeRobot's RobotClient, with a fake arm, at a server; a program of its own.

``python -m test.peers.lerobot_client PORT DURATION_S HEIGHT WIDTH OUTPUT`` writes what happened.
Nothing of the client is changed; what it calls is written down on the way.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from lerobot.async_inference.configs import RobotClientConfig
from lerobot.async_inference.robot_client import RobotClient

from test.peers.fakearm import FakeArmConfig
from test.support.lerobot_arm import HORIZON, INSTRUCTION, RATE_HZ, VALUES


class Record:
    """What a client sends, gets and does.

    Attributes:
        sent: Each observation's step and state.
        chunks: Each chunk's steps, and its actions.
        steps: Which step was executed at each turn.
    """

    def __init__(self, client: Any) -> None:
        self.sent: list[tuple[int, list[float]]] = []
        self.chunks: list[tuple[list[int], list[list[float]]]] = []
        self.steps: list[int] = []
        send, join = client.send_observation, client._aggregate_action_queues
        act = client.control_loop_action

        def send_observation(seen: Any) -> Any:
            values = seen.get_observation()
            self.sent.append((seen.get_timestep(), [values[name] for name in VALUES]))
            return send(seen)

        def aggregate(incoming: Any, function: Any = None) -> None:
            steps = [timed.get_timestep() for timed in incoming]
            self.chunks.append((steps, [timed.get_action().tolist() for timed in incoming]))
            join(incoming, function)

        def control_loop_action(verbose: bool = False) -> Any:
            done = act(verbose)
            self.steps.append(client.latest_action)
            return done

        client.send_observation, client._aggregate_action_queues = send_observation, aggregate
        client.control_loop_action = control_loop_action


def main() -> None:
    """Runs the client as LeRobot's own program does."""
    port, duration_s, height, width, output = sys.argv[1:]
    client = RobotClient(
        RobotClientConfig(
            policy_type="act",
            pretrained_name_or_path="nobody/nothing",
            robot=FakeArmConfig(height=int(height), width=int(width)),
            actions_per_chunk=HORIZON,
            task=INSTRUCTION,
            server_address=f"127.0.0.1:{port}",
            fps=RATE_HZ,
        )
    )
    record = Record(client)
    if not client.start():
        sys.exit(1)
    receiver = threading.Thread(target=client.receive_actions)
    receiver.start()
    threading.Timer(float(duration_s), client.shutdown_event.set).start()
    client.control_loop(task=INSTRUCTION)
    receiver.join()
    facts = {**vars(record), "told": len(client.robot.told)}
    Path(output).write_text(json.dumps(facts), encoding="utf-8")
    client.stop()


if __name__ == "__main__":
    main()
