# SPDX-License-Identifier: Apache-2.0
"""What to look at next when a policy cannot be used. Any thread; it may block for seconds."""

from __future__ import annotations

import socket

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    VlaRosError,
    WireFormatError,
)
from vla_ros.core.params import describe

_KNOCK_S = 3.0
# The parameters that say what lets a client in.
_TOKENS = ("api_token", "api_key")
_OTHER_PROTOCOL = (
    "Is it the right port, and the right --backend for what is served there? gr00t_zmq is usually"
    " at 5555, gr00t_http and openpi_websocket at 8000, lerobot_grpc at 8080, act_zmq at 5556."
)
_MORE_TIME = (
    "Is it busy with another client, or loading or compiling its model? Give it more time:"
    " --backend-option timeout_s=60."
)
_VERSION = "Is the server of a version whose messages are known? doc/wires.md lists them."
_OTHER_SHAPE = "Do horizon and action in {source} belong to the checkpoint that is served?"
_NAN = "NaN comes from the checkpoint, or from the statistics that it is normalised by."
_OTHER_POLICY = (
    "Does {source} describe the checkpoint that is served? Give the file that does, or copy it and"
    " change what is named above."
)
_OWN_WORDS = "The text above is the server's own; its log may say more."
_OTHER_INPUT = "Do keys, units and shapes in {source} belong to the checkpoint there?"
_LOG = "The policy's own log may say more."
# The first kind that an error is of has the answer.
_NEXT: tuple[tuple[type[VlaRosError], tuple[str, ...]], ...] = (
    (BackendSilent, (_MORE_TIME, _OTHER_PROTOCOL)),
    (WireFormatError, (_OTHER_PROTOCOL, _VERSION)),
    (ActionError, (_OTHER_SHAPE, _NAN)),
    (ConfigError, (_OTHER_POLICY,)),
    (RemotePolicyError, (_OTHER_INPUT, _OWN_WORDS)),
    (VlaRosError, (_LOG,)),
)

_GONE_HOST = "Nobody knows host {host!r}: is it spelt right? Give its IP address instead."
_GONE_SERVER = (
    "Machine {host} is there, but nothing listens at port {port}. Is the server started, and its"
    " model loaded? Is it that port?"
)
_LOOPBACK = (
    "A server that listens at 127.0.0.1 is reached from its own machine alone: start it with"
    " --host 0.0.0.0 and a token, or use an SSH tunnel."
)
_GONE_MACHINE = (
    "Nothing answers from {host}:{port}. Is the machine on, and is that its address? (ping {host})"
)
_FIREWALL = "Does its firewall let TCP port {port} through?"
_OTHER_SERVER = (
    "Somebody listens at {host}:{port}, but did not speak as the backend does, or hung up."
)


def advice(error: VlaRosError, backend: PolicyBackend, *, connected: bool) -> tuple[str, ...]:
    """What to check next, the likeliest first.

    Args:
        error: Why the policy cannot be used.
        backend: How it was to be reached.
        connected: Whether it could be connected to, and failed afterwards.
    """
    where = address(backend)
    if where and isinstance(error, BackendUnavailable) and not isinstance(error, BackendSilent):
        return knock(*where)
    if isinstance(error, RemotePolicyError) and not connected:
        return (*_tokens(backend), _OWN_WORDS)
    texts = next(texts for kind, texts in _NEXT if isinstance(error, kind))
    return tuple(text.format(source=backend.policy.source) for text in texts)


def address(backend: PolicyBackend) -> tuple[str, int] | None:
    """Host and port of a backend's server, if it has one."""
    known = {info.name for info in describe(type(backend.config))}
    return (backend.config.host, backend.config.port) if {"host", "port"} <= known else None


def knock(host: str, port: int, *, timeout_s: float = _KNOCK_S) -> tuple[str, ...]:
    """What a bare TCP connection tells of an address where the protocol got no answer.

    Args:
        host: The server's host.
        port: Its port.
        timeout_s: Longest time that the connection may take to be made.
    """
    try:
        socket.create_connection((host, port), timeout_s).close()
    except (socket.gaierror, UnicodeError):
        texts: tuple[str, ...] = (_GONE_HOST,)
    except ConnectionRefusedError:
        texts = (_GONE_SERVER, _LOOPBACK)
    except OSError:
        texts = (_GONE_MACHINE, _FIREWALL)
    else:
        texts = (_OTHER_SERVER, _OTHER_PROTOCOL)
    return tuple(text.format(host=host, port=port) for text in texts)


def _tokens(backend: PolicyBackend) -> tuple[str, ...]:
    known = [info.name for info in describe(type(backend.config)) if info.name in _TOKENS]
    return tuple(
        f"If it wants a token: --backend-option {name}=TOKEN. If one was given: is it the server's?"
        for name in known
    )
