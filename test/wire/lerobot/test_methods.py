# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.wire.lerobot import methods


def test_methods_are_those_of_lerobots_service():
    # As in LeRobot 0.4.4, transport/services_pb2_grpc.py.
    assert methods.READY == "/transport.AsyncInference/Ready"
    assert methods.SEND_POLICY_INSTRUCTIONS == "/transport.AsyncInference/SendPolicyInstructions"
    assert methods.SEND_OBSERVATIONS == "/transport.AsyncInference/SendObservations"
    assert methods.GET_ACTIONS == "/transport.AsyncInference/GetActions"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:8080"), ("robot.local", "robot.local:8080"),
        ("::1", "[::1]:8080"), ("fe80::1", "[fe80::1]:8080"),
    ],
)  # fmt: skip
def test_an_address_of_ipv6_stands_in_brackets(host: str, address: str):
    assert methods.address_of(host, 8080) == address
