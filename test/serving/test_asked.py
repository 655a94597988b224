# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from test.support.gr00t_samples import observation
from vla_ros.serving.asked import Client, Inference


def test_clients_of_two_protocols_are_two_clients():
    assert Client("act", b"1") == Client("act", b"1")
    assert len({Client("act", b"1"), Client("gr00t", b"1"), Client("act", "1")}) == 3


def test_without_a_word_a_client_wants_its_answer_and_has_told_nothing():
    asked: Inference[str] = Inference(observation(), lambda _: "reply")
    assert asked.wanted()
    assert (asked.prefix, asked.runs_out_in_s) == (None, None)
