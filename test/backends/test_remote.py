# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import socket

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import moves, observation, policy
from test.support.http_peers import answering, told
from test.support.protocols import PROTOCOLS, Spoken
from test.support.served import served
from vla_ros.backends import gr00t_http, openpi_websocket
from vla_ros.backends._remote import PatientConfig, RemoteBackend, RemoteConfig
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.params import build, describe

EACH = pytest.mark.parametrize("spoken", PROTOCOLS, ids=lambda spoken: spoken.name)


def remote(spoken: Spoken, port: int, **config: object) -> RemoteBackend:
    made = spoken.connect_to(port, **config)
    assert isinstance(made, RemoteBackend)
    return made


@EACH
def test_a_check_sees_a_server_live_and_die(spoken: Spoken):
    golden = GoldenBackend(policy=policy(spoken.text))
    with served(golden, "--protocol", spoken.name) as port:
        client = remote(spoken, port)
        for _ in range(3):
            client.check()
    with pytest.raises(BackendUnavailable, match=f"127.0.0.1:{port}"):
        client.check()
    client.close()
    assert (golden.seen, golden.resets) == ([], 0)


@EACH
def test_a_check_takes_no_longer_than_it_may(spoken: Spoken):
    # The system takes the connection; nobody ever says a word.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = remote(spoken, mute.getsockname()[1], connect_timeout_s=0.2)
        client.timeout_s = 0.2
        if spoken.name in ("act", "lerobot"):
            client.check()
        else:
            with pytest.raises(BackendUnavailable):
                client.check()
        client.close()


@EACH
def test_how_long_it_may_take_can_be_changed_between_calls(spoken: Spoken):
    golden = GoldenBackend(policy=policy(spoken.text))
    golden.actions = moves().astype(float)[: golden.policy.horizon]
    with served(golden, "--protocol", spoken.name, "--latency-ms", "300") as port:
        client = remote(spoken, port)
        client.connect()
        client.timeout_s = 0.1
        with pytest.raises(BackendUnavailable):
            client.infer(observation())
        client.timeout_s = 10.0
        chunk = client.infer(observation(stamp_ns=observation().stamp_ns + 10**9))
        np.testing.assert_allclose(chunk.actions, golden.actions, atol=1e-6)
        client.close()


@EACH
def test_a_server_is_found_by_an_address_of_ipv6(spoken: Spoken):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    golden = GoldenBackend(policy=policy(spoken.text))
    with served(golden, "--protocol", spoken.name, "--host", "::1") as port:
        client = remote(spoken, port, host="::1")
        assert client.address == f"[::1]:{port}"
        client.check()
        client.close()
        other = client.another()
        other.connect()
        other.close()


@pytest.mark.parametrize(
    ("module", "path"), [(gr00t_http, "/health"), (openpi_websocket, "/healthz")]
)
def test_a_server_that_loads_or_ends_is_not_well(module, path: str):
    statuses = itertools.chain([200, 503], itertools.repeat(200))

    def tell(asked) -> object:
        assert (asked.method, asked.path) == ("GET", path)
        return told(next(statuses), {})

    with answering(tell) as peer:
        client = module.Backend(
            module.Backend.Config(port=peer.port),
            **{name: getattr(GoldenBackend(), name) for name in ("robot", "policy")},
        )
        client.check()
        with pytest.raises(BackendUnavailable):
            client.check()
        client.check()
        client.close()


def test_an_openpi_server_that_knows_no_health_lives_all_the_same():
    with answering(lambda _: told(404, {})) as peer:
        client = remote(PROTOCOLS[-1], peer.port)
        client.check()


@EACH
def test_every_server_may_be_one_of_several(spoken: Spoken):
    config = spoken.client.Backend.Config
    assert issubclass(config, RemoteConfig)
    assert {"host", "port", "addresses"} <= {info.name for info in describe(config)}
    made = build(config, {"addresses": ["a:1", "[::1]:2"]}, where="backend")
    assert made.addresses == ("a:1", "[::1]:2")


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        (["a"], r"'addresses' must be HOST:PORT, .* found 'a'"),
        (["a:1", "b:2", "a:1"], r"each must stand once, found a:1, b:2, a:1"),
        ([5555], "must be a list of strings"),
        ("a:1", "must be a list of strings"),
    ],
)
def test_wrong_addresses_are_refused(addresses: object, text: str):
    with pytest.raises(ConfigError, match=text):
        build(PatientConfig, {"port": 1, "addresses": addresses}, where="backend")


def test_a_port_has_no_default_of_its_own():
    with pytest.raises(ConfigError, match="'port' is required"):
        build(RemoteConfig, {}, where="backend")
