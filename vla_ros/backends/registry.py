# SPDX-License-Identifier: Apache-2.0
"""Find a backend by its name. Any thread may call.

Modules whose names start with an underscore are parts of backends, and no backends themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from typing import Any

import vla_ros.backends
from vla_ros.backends._fail_over import FailOver
from vla_ros.backends._remote import RemoteBackend
from vla_ros.backends.base import PolicyBackend
from vla_ros.core.addresses import parse_address
from vla_ros.core.errors import ConfigError

_NOT_BACKENDS = frozenset({"base", "registry"})


def backend_names() -> tuple[str, ...]:
    """All backends that this package has, whether or not their libraries are installed."""
    names = [module.name for module in pkgutil.iter_modules(vla_ros.backends.__path__)]
    return tuple(
        sorted(name for name in names if name not in _NOT_BACKENDS and not name.startswith("_"))
    )


def backend_class(name: str) -> type[PolicyBackend]:
    """Import a backend.

    Raises:
        ConfigError: There is no such backend, or a library that it needs is not installed.
    """
    if name not in backend_names():
        raise ConfigError(
            f"backend {name!r} does not exist; there are {', '.join(backend_names())}"
        )
    try:
        module = importlib.import_module(f"vla_ros.backends.{name}")
    except ImportError as error:
        raise ConfigError(
            f"backend {name!r} needs a Python package that cannot be imported: {error}"
        ) from error
    backend: type[PolicyBackend] = module.Backend
    return backend


def new_backend(backend: type[PolicyBackend], config: Any, **facts: Any) -> PolicyBackend:
    """A backend that is not connected yet; one for all the servers where its config names several.

    Args:
        backend: Its class.
        config: An instance of its ``Config``.
        **facts: Robot, policy and clock; see ``PolicyBackend``.

    Raises:
        ConfigError: The backend refuses the facts.
    """
    if not issubclass(backend, RemoteBackend) or not config.addresses:
        return backend(config, **facts)
    servers = []
    for text in config.addresses:
        host, port = parse_address(text, where="addresses")
        servers.append(backend(replace(config, host=host, port=port, addresses=()), **facts))
    return FailOver(servers) if len(servers) > 1 else servers[0]
