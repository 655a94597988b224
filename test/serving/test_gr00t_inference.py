# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import INSTRUCTION, NAMES, moves, observation, policy
from vla_ros.core.errors import ConfigError
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.core.policy_io import policy_input
from vla_ros.serving.asked import Inference
from vla_ros.serving.gr00t_inference import gr00t_inference
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.options import Options
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

EACH = [
    Arrangement(Gr00tWire.B, Layout.NESTED),
    Arrangement(Gr00tWire.A6, Layout.FLAT),
    Arrangement(Gr00tWire.A5, Layout.FLAT, batched=False),
]


def asked(
    arrangement: Arrangement = EACH[0], options: Options | None = None, **changed: Any
) -> Inference[Any]:
    tree = encode_observation(policy_input(policy(), observation()), arrangement)
    return gr00t_inference(
        policy(),
        {**tree, **changed},
        options or Options(),
        wire=arrangement.wire,
        now_ns=lambda: 77,
        encode=lambda actions: ("encoded", actions),
    )


@pytest.mark.parametrize("arrangement", EACH)
def test_an_observation_is_answered_as_it_is_arranged(arrangement: Arrangement):
    inference = asked(arrangement)
    seen = inference.observation
    assert (seen.stamp_ns, seen.instruction, seen.request) == (77, INSTRUCTION, None)
    np.testing.assert_array_equal(seen.state, observation().state)
    np.testing.assert_equal(dict(seen.images), dict(observation().images))

    word, actions = inference.answer(GoldenBackend().infer(seen))
    assert word == "encoded"
    tree = actions if arrangement.wire is Gr00tWire.A5 else actions[0]
    prefix = "action." if arrangement.layout is Layout.FLAT else ""
    arm = tree[f"{prefix}single_arm"]
    expected = moves()[:, :5]
    np.testing.assert_array_equal(arm, expected[None] if arrangement.batched else expected)


def test_what_our_clients_say_beside_it_is_passed_on():
    request = ObservationRequest(request_id=3, epoch=2, stamp_ns=5, must_go=False)
    prefix = Prefix(NAMES, np.zeros((2, 6)), 0.1, 4)
    inference = asked(options=Options(5, request, prefix, runs_out_in_s=0.25))
    assert (inference.observation.stamp_ns, inference.observation.request) == (5, request)
    assert inference.prefix is prefix
    assert inference.runs_out_in_s == 0.25
    assert asked().runs_out_in_s is None


def test_our_clients_are_told_how_long_the_server_took():
    for options, info in ((Options(5), {"server_s": 0.25}), (Options(), {})):
        now_ns = [1_000_000_000]
        inference = gr00t_inference(
            policy(),
            encode_observation(policy_input(policy(), observation()), EACH[0]),
            options,
            wire=Gr00tWire.B,
            now_ns=lambda now=now_ns: now[0],
            encode=lambda actions: actions,
        )
        now_ns[0] += 250_000_000
        _, told = inference.answer(GoldenBackend().infer(inference.observation))
        assert told == info


def test_an_observation_that_is_none_of_the_policys_is_refused():
    with pytest.raises(ConfigError, match="state key 'single_arm' is missing"):
        asked(state={})
