# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from test.core.helpers import POLICY, policy
from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.lerobot_spec import LeRobotSpec

LEROBOT = """
lerobot:
  type: act
  checkpoint: /checkpoints/two_joints
  device: cpu
  state: [a.pos, g.pos]
  action: [a.pos, g.pos]
"""


def test_what_lerobot_has_to_be_told_is_read():
    assert policy(POLICY + LEROBOT).lerobot == LeRobotSpec(
        "act", "/checkpoints/two_joints", "cpu", ("a.pos", "g.pos"), ("a.pos", "g.pos")
    )


def test_other_policies_need_not_say_it():
    assert policy(POLICY).lerobot is None


def test_who_needs_it_says_so():
    told = policy(POLICY + LEROBOT)

    assert told.lerobot_for("its clients need") is told.lerobot
    with refused(ConfigError, "policy.yaml: its clients need the section lerobot"):
        policy(POLICY).lerobot_for("its clients need")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  state: [a.pos, g.pos]", "  state: [a.pos]", "lerobot.state: names 1 values"),
        ("  action: [a.pos, g.pos]", "  action: [a.pos, g.pos, b.pos]", "which has 2: a/position"),
        ("  type: act\n", "", "type"),
        ("  device: cpu\n", "  device: cpu\n  colour: red\n", "colour"),
    ],
)
def test_what_does_not_fit_is_refused(old: str, new: str, words: str):
    with refused(ConfigError, words):
        policy(changed(POLICY + LEROBOT, old, new))
