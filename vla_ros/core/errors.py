# SPDX-License-Identifier: Apache-2.0
"""The errors of vla_ros, all of them.

::

    VlaRosError
    |-- ConfigError            a file or parameter is wrong: refuse to configure
    |-- DeviceError            a device is gone, or is not what it should be: try it again
    |-- ObservationError       no observation can be made now: skip it, name the stream
    |-- BackendError           no chunk came of this observation
    |   |-- BackendUnavailable     nobody answers: back off, the executor holds
    |   |   `-- BackendSilent          somebody is there, but gave no answer in time
    |   |-- RemotePolicyError      the policy answered with an error: show its own text
    |   `-- WireFormatError        bytes that are not what the wire says they are
    `-- ActionError            a chunk that must not be executed: drop it whole, hold
        `-- ChunkRefused           a good chunk, but not for now

Errors of third-party libraries are mapped to these once per transport, with ``raise ... from``.
"""

from __future__ import annotations


class VlaRosError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(VlaRosError):
    """A description file, parameter or combination of them is wrong.

    The text names the file, the key, what was found and what is allowed.
    """


class DeviceError(VlaRosError):
    """A device is not there, does not answer, or is not what it should be.

    The text names the device and what was found. It may be there again later.
    """


class ObservationError(VlaRosError):
    """No observation can be made now, because a stream is missing, stale or malformed.

    Attributes:
        reason: One of ``stale_camera`` and ``stale_state``.
        stream: The name of the stream at fault.
    """

    def __init__(self, message: str, *, reason: str, stream: str) -> None:
        """Keep what a hold is named after.

        Args:
            message: What is wrong, in words.
            reason: The machine-readable reason of the hold.
            stream: The stream at fault.
        """
        super().__init__(message)
        self.reason = reason
        self.stream = stream


class BackendError(VlaRosError):
    """The policy gave no chunk for this observation."""


class BackendUnavailable(BackendError):  # noqa: N818 - the name is the state that users see
    """Nobody answers at the backend's address, or not within the deadline."""


class BackendSilent(BackendUnavailable):
    """Somebody is at the backend's address, but gave no answer within the deadline."""


class RemotePolicyError(BackendError):
    """The policy server answered with an error; the text is the server's own."""


class WireFormatError(BackendError):
    """Bytes do not follow the wire format that they claim to follow."""


class ActionError(VlaRosError):
    """A chunk is malformed, not finite or for another robot. It is dropped whole."""


class ChunkRefused(ActionError):  # noqa: N818 - as above
    """A well-formed chunk that must not be executed now. It is dropped whole.

    Attributes:
        kind: Why, for machines: ``late``, ``early``, ``out_of_order``, ``duplicate``,
            ``old_epoch``, ``other_interfaces``, ``other_step`` or ``blind``.
    """

    def __init__(self, kind: str, message: str) -> None:
        """Keep what refusals are counted by.

        Args:
            kind: Why, for machines.
            message: The same in words.
        """
        super().__init__(message)
        self.kind = kind
