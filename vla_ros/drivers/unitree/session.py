# SPDX-License-Identifier: Apache-2.0
"""One participant of a DDS domain that Unitree's robots and simulators are in, through Cyclone DDS.

Readers and writers are as unitree_sdk2py makes them: a writer is reliable, a reader best effort,
and both keep the newest message alone. So a reader that was not asked for long has one message, and
only that one is decoded. Nothing here keeps a thread or waits without an end.

One thread waits and takes; writers may be used by any thread. ``wake`` may be called from anywhere.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar
from xml.sax.saxutils import quoteattr

from cyclonedds.core import (
    DDSException,
    GuardCondition,
    InstanceState,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from vla_ros.core.errors import DeviceError

Sample = TypeVar("Sample", bound=IdlStruct)

MAX_DOMAIN = 230
# Cyclone DDS drops bytes that are not laid out as the type; a text may still be none.
_MALFORMED = (struct.error, ValueError)
_NEW = SampleState.NotRead | ViewState.Any | InstanceState.Any
_KEPT = (Policy.History.KeepLast(1), Policy.Durability.Volatile)
_RELIABLE = Qos(Policy.Reliability.Reliable(duration(milliseconds=100)), *_KEPT)
_BEST_EFFORT = Qos(Policy.Reliability.BestEffort, *_KEPT)


class DdsWriter(Generic[Sample]):
    """Writes one topic."""

    def __init__(self, topic: str, writer: DataWriter[Sample]) -> None:
        """Use ``DdsSession.writer``."""
        self._topic = topic
        self._writer: DataWriter[Sample] | None = writer

    @property
    def listeners(self) -> int:
        """How many readers have been found.

        Raises:
            DeviceError: The session is closed.
        """
        return len(self._open().get_matched_subscriptions())

    def write(self, sample: Sample) -> None:
        """Send a message; takes 0.1 s at most, if its readers are slow.

        Raises:
            DeviceError: The session is closed, or the network takes nothing.
        """
        try:
            self._open().write(sample)
        except DDSException as error:
            raise DeviceError(f"DDS topic {self._topic}: cannot write: {error}") from error

    def close(self) -> None:
        """Leave the topic."""
        self._writer = None

    def _open(self) -> DataWriter[Sample]:
        if self._writer is None:
            raise DeviceError(f"DDS topic {self._topic}: its session is closed")
        return self._writer


class DdsReader(Generic[Sample]):
    """Reads one topic.

    Attributes:
        malformed: Messages that could not be decoded; they are dropped.
    """

    def __init__(self, topic: str, reader: DataReader[Sample], max_rate_hz: float) -> None:
        """Use ``DdsSession.reader``."""
        self.malformed = 0
        self._topic = topic
        self._reader: DataReader[Sample] | None = reader
        self._news: ReadCondition | None = ReadCondition(reader, _NEW)
        self._period_s = 1.0 / max_rate_hz
        self._due_s = -math.inf

    def take(self) -> Sample | None:
        """The newest message, if none of it was taken yet and the rate allows it.

        Raises:
            DeviceError: The session is closed.
        """
        if self._reader is None or self._news is None:
            raise DeviceError(f"DDS topic {self._topic}: its session is closed")
        now_s = time.monotonic()
        if now_s < self._due_s:
            return None
        try:
            samples = self._reader.take(1, condition=self._news)
        except _MALFORMED:
            self.malformed += 1
            return None
        except DDSException as error:
            raise DeviceError(f"DDS topic {self._topic}: cannot read: {error}") from error
        # Without data it only says that a writer has come or gone.
        if not samples or isinstance(samples[0], InvalidSample):
            return None
        self._due_s = now_s + self._period_s
        return samples[0]

    def watched_by(self, waits: WaitSet, now_s: float) -> float:
        """Let a message end a wait, if the rate allows that; when it does so again [s]."""
        if self._news is None:
            return math.inf
        if self._due_s <= now_s:
            waits.attach(self._news)
            return math.inf
        waits.detach(self._news)
        return self._due_s

    def close(self) -> None:
        """Leave the topic."""
        self._news = self._reader = None


class DdsSession:
    """A participant, and what it reads and writes.

    Attributes:
        where: Its domain and network interface, in words.
    """

    def __init__(self, domain: int, network_interface: str = "") -> None:
        """Enter a domain.

        Args:
            domain: Its number.
            network_interface: Such as ``eth0``; empty: as Cyclone DDS chooses, or its own
                environment variable CYCLONEDDS_URI says.

        Raises:
            DeviceError: There is no such interface or domain, or this process has entered the
                domain with an interface already.
        """
        self.where = f"DDS domain {domain}"
        self._readers: list[DdsReader[Any]] = []
        self._writers: list[DdsWriter[Any]] = []
        self._domain: Domain | None = None
        try:
            if network_interface:
                self.where += f" on network interface {network_interface!r}"
                self._domain = Domain(domain, _config(network_interface))
            participant = DomainParticipant(domain)
            self._waits: WaitSet | None = WaitSet(participant)
            self._wake: GuardCondition | None = GuardCondition(participant)
            self._waits.attach(self._wake)
        except DDSException as error:
            names = ", ".join(name for _, name in socket.if_nameindex())
            raise DeviceError(
                f"{self.where} cannot be entered (network interfaces here: {names}): {error}"
            ) from error
        self._participant: DomainParticipant | None = participant

    def writer(self, topic: str, kind: type[Sample]) -> DdsWriter[Sample]:
        """Begin to write a topic.

        Args:
            topic: Its DDS name, such as ``rt/lowcmd``.
            kind: What is sent on it.

        Raises:
            DeviceError: It cannot be, or the session is closed.
        """
        participant = self._open()
        try:
            made = DataWriter(participant, Topic(participant, topic, kind), qos=_RELIABLE)
        except DDSException as error:
            raise DeviceError(f"{self.where}: cannot write {topic}: {error}") from error
        writer = DdsWriter(topic, made)
        self._writers.append(writer)
        return writer

    def reader(
        self, topic: str, kind: type[Sample], *, max_rate_hz: float = math.inf
    ) -> DdsReader[Sample]:
        """Begin to read a topic.

        Args:
            topic: Its DDS name, such as ``rt/lowstate``.
            kind: What comes on it.
            max_rate_hz: More messages per second than this are not taken.

        Raises:
            DeviceError: It cannot be, or the session is closed.
        """
        participant = self._open()
        try:
            made = DataReader(participant, Topic(participant, topic, kind), qos=_BEST_EFFORT)
            reader = DdsReader(topic, made, max_rate_hz)
        except DDSException as error:
            raise DeviceError(f"{self.where}: cannot read {topic}: {error}") from error
        self._readers.append(reader)
        return reader

    def wait(self, timeout_s: float) -> bool:
        """Wait until a reader has something to take, or ``wake``; whether that came in time.

        Raises:
            DeviceError: The session is closed.
        """
        self._open()
        waits, wake = self._waits, self._wake
        if waits is None or wake is None:
            raise DeviceError(f"{self.where}: the session is closed")
        deadline_s = time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            until_s = min(
                (reader.watched_by(waits, now_s) for reader in self._readers), default=math.inf
            )
            rest_s = max(min(until_s, deadline_s) - now_s, 0.0)
            if waits.wait(duration(seconds=rest_s)):
                wake.take()
                return True
            if time.monotonic() >= deadline_s:
                return False

    def wake(self) -> None:
        """Let a wait end, or the next one if there is none."""
        if self._wake is not None:
            self._wake.set(True)

    def close(self) -> None:
        """Leave the domain; nobody may wait any more. Closing twice is fine."""
        for reader in self._readers:
            reader.close()
        if self._writers:
            # One waits a second for a reader that has gone without a word; all wait at once.
            with ThreadPoolExecutor(len(self._writers)) as pool:
                list(pool.map(lambda writer: writer.close(), self._writers))
        # What still has a reference keeps what it belongs to: the last made goes first.
        self._readers, self._writers = [], []
        self._waits = None
        self._wake = None
        self._participant = None
        self._domain = None

    def _open(self) -> DomainParticipant:
        if self._participant is None:
            raise DeviceError(f"{self.where}: the session is closed")
        return self._participant


def _config(network_interface: str) -> str:
    """What Cyclone DDS is told."""
    return (
        "<CycloneDDS><Domain Id='any'><General><Interfaces>"
        f"<NetworkInterface name={quoteattr(network_interface)}/>"
        "</Interfaces></General></Domain></CycloneDDS>"
    )
