# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest

import vla_ros.backends
from test.support.gr00t_samples import policy, robot
from vla_ros.backends._fail_over import FailOver
from vla_ros.backends._remote import RemoteBackend
from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.registry import backend_class, backend_names, new_backend
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import build, describe


def test_the_modules_are_the_backends():
    names = backend_names()

    assert {"gr00t_zmq", "hold", "replay"} <= set(names)
    assert not any(name.startswith("_") or name in ("base", "registry") for name in names)


@pytest.mark.parametrize("name", backend_names())
def test_every_backend_can_be_chosen_and_its_parameters_be_described(name: str):
    chosen = backend_class(name)

    assert issubclass(chosen, PolicyBackend)
    assert all(info.description for info in describe(chosen.Config))


def test_an_unknown_backend_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match=r"backend 'base' does not exist; there are .*hold"):
        backend_class("base")


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    monkeypatch.setattr(vla_ros.backends, "__path__", [*vla_ros.backends.__path__, str(tmp_path)])

    with pytest.raises(ConfigError, match=r"backend 'needy' needs .* 'no_such_library'"):
        backend_class("needy")
    assert "vla_ros.backends.needy" not in sys.modules


def made(name: str, **options: object) -> PolicyBackend:
    chosen = backend_class(name)
    config = build(chosen.Config, options, where="test")
    return new_backend(chosen, config, robot=robot(), policy=policy(), now_ns=lambda: 42)


def test_a_backend_is_made_with_its_facts():
    hold, remote = made("hold"), made("gr00t_http", host="::1", port=7)

    assert type(hold) is backend_class("hold")
    assert (hold.now_ns(), hold.in_use) == (42, "")
    assert isinstance(remote, RemoteBackend)
    assert remote.address == "[::1]:7"


def test_one_address_is_a_server_and_several_are_several():
    one = made("gr00t_http", addresses=["gpu-box:7"], timeout_s=2.0)
    several = made("gr00t_http", addresses=["gpu-box:7", "[::1]:8"], timeout_s=2.0)

    assert isinstance(one, RemoteBackend)
    assert (one.address, one.timeout_s) == ("gpu-box:7", 2.0)
    assert isinstance(several, FailOver)
    assert (several.in_use, several.config.timeout_s) == ("gpu-box:7", 2.0)
    assert (several.name, one.name) == ("gr00t_http", "gr00t_http")
    assert several.now_ns() == 42
