# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest

import vla_ros.backends
from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.registry import backend_class, backend_names
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import describe


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
