# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from vla_ros.wire.lerobot import methods


def test_methods_are_those_of_lerobots_service():
    # As in LeRobot 0.4.4, transport/services_pb2_grpc.py.
    assert methods.READY == "/transport.AsyncInference/Ready"
    assert methods.SEND_POLICY_INSTRUCTIONS == "/transport.AsyncInference/SendPolicyInstructions"
    assert methods.SEND_OBSERVATIONS == "/transport.AsyncInference/SendObservations"
    assert methods.GET_ACTIONS == "/transport.AsyncInference/GetActions"
