# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.topic import Topic

from test.support.unitree_facts import HG, STD, idl_type
from test.support.unitree_peer import own_dds_domain, unitree_peer
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.unitree.idl_go import MotorCmds
from vla_ros.drivers.unitree.idl_hg import LowCmd
from vla_ros.drivers.unitree.idl_std import String
from vla_ros.drivers.unitree.session import DdsSession

PATIENCE_S = 10.0


@pytest.fixture
def domain() -> Iterator[int]:
    with own_dds_domain() as made:
        yield made


@pytest.fixture
def sessions(domain: int) -> Iterator[tuple[DdsSession, DdsSession]]:
    """Two on a domain."""
    with (
        contextlib.closing(DdsSession(domain)) as one,
        contextlib.closing(DdsSession(domain)) as other,
    ):
        yield one, other


def wait_for(condition: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.002)
    return found


def test_a_message_ends_a_wait_and_is_taken_once(sessions):
    here, there = sessions
    writer, reader = there.writer("rt/x", String), here.reader("rt/x", String)
    assert reader.take() is None
    wait_for(lambda: writer.listeners)

    threading.Timer(0.1, writer.write, [String("hello")]).start()

    assert wait_for(lambda: here.wait(PATIENCE_S) and reader.take()) == String("hello")
    assert reader.take() is None


def test_only_the_newest_message_is_kept(sessions):
    here, there = sessions
    writer, reader = there.writer("rt/x", String), here.reader("rt/x", String)
    wait_for(lambda: writer.listeners)
    writer.write(String("first"))
    wait_for(lambda: reader.take() == String("first"))

    for number in range(5):
        writer.write(String(str(number)))

    def newest() -> bool:
        found = reader.take()
        seen.extend([found] if found else [])
        return String("4") in seen

    seen: list[String] = []
    wait_for(newest)
    assert len(seen) < 5


def test_a_wait_ends_in_time_and_when_it_is_woken(sessions):
    here, _ = sessions
    here.reader("rt/x", String)

    begun_s = time.monotonic()
    assert not here.wait(0.05)
    assert 0.05 <= time.monotonic() - begun_s < 1.0
    threading.Timer(0.05, here.wake).start()
    assert here.wait(PATIENCE_S)
    assert not here.wait(0.0)


def test_more_messages_than_the_rate_allows_are_not_taken(sessions):
    here, there = sessions
    writer = there.writer("rt/x", String)
    reader = here.reader("rt/x", String, max_rate_hz=20.0)
    wait_for(lambda: writer.listeners)
    taken, waits = [], 0
    end_s = time.monotonic() + 1.0
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.wait(0.002):
            writer.write(String(str(number := number + 1)))

    writing = threading.Thread(target=write)
    writing.start()
    while time.monotonic() < end_s:
        waits += here.wait(0.2)
        found = reader.take()
        taken.extend([found] if found else [])
    ended.set()
    writing.join()

    assert 5 <= len(taken) <= 21
    # No wait ends for a message that may not be taken yet.
    assert waits <= len(taken) + 2
    assert int(taken[-1].data) > 2 * len(taken)


def test_writers_that_leave_say_nothing(sessions):
    here, there = sessions
    writer, reader = there.writer("rt/x", String), here.reader("rt/x", String)
    wait_for(lambda: writer.listeners)
    writer.write(String("last"))
    wait_for(reader.take)

    there.close()
    here.wait(0.5)

    assert reader.take() is None
    assert reader.malformed == 0


def test_a_text_that_is_none_is_dropped_and_counted(domain: int):
    theirs = idl_type(f"{STD}String_")

    class Latin(theirs):  # type: ignore[misc, valid-type]
        """A text that is not UTF-8."""

        def serialize(self, *_: Any, **__: Any) -> bytes:
            return b"\0\1\0\0" + struct.pack("<I2s", 2, b"\xff\0")

    participant = DomainParticipant(domain)
    writer = DataWriter(participant, Topic(participant, "rt/x", theirs))
    with contextlib.closing(DdsSession(domain)) as session:
        reader = session.reader("rt/x", String)
        wait_for(writer.get_matched_subscriptions)
        writer.write(Latin(""))

        wait_for(lambda: reader.take() or reader.malformed)

        assert reader.malformed == 1


def test_what_unitree_would_write_is_read(domain: int):
    theirs = idl_type(f"{HG}LowCmd_")
    participant = DomainParticipant(domain)
    writer = DataWriter(participant, Topic(participant, "rt/lowcmd", theirs))
    motor = idl_type(f"{HG}MotorCmd_")
    with contextlib.closing(DdsSession(domain)) as session:
        reader = session.reader("rt/lowcmd", LowCmd)
        wait_for(writer.get_matched_subscriptions)
        motors = [motor(1, 0.5 * place, 0, 0, 0, 0, 0) for place in range(35)]
        writer.write(theirs(1, 2, motors, [3] * 4, 4))

        found = wait_for(reader.take)

    assert (found.mode_pr, found.mode_machine, found.reserve, found.crc) == (1, 2, [3] * 4, 4)
    assert [it.q for it in found.motor_cmd] == [0.5 * place for place in range(35)]


def test_an_interface_is_used_by_name(domain: int):
    with contextlib.closing(DdsSession(domain, "lo")) as session:
        writer, reader = session.writer("rt/x", String), session.reader("rt/x", String)
        wait_for(lambda: writer.listeners)
        writer.write(String("here"))

        assert wait_for(reader.take) == String("here")


def test_an_interface_that_is_not_there_is_refused_by_name(domain: int):
    with pytest.raises(DeviceError) as refusal:
        DdsSession(domain, "nope7")

    names = ", ".join(name for _, name in socket.if_nameindex())
    assert str(refusal.value).startswith(
        f"DDS domain {domain} on network interface 'nope7' cannot be entered (network interfaces"
        f" here: {names}): "
    )


def test_a_domain_that_cannot_be_is_refused():
    with pytest.raises(DeviceError, match=r"^DDS domain 500 cannot be entered"):
        DdsSession(500)


def test_a_name_that_cannot_be_is_refused(sessions):
    here, _ = sessions
    with pytest.raises(DeviceError, match="cannot write no name: "):
        here.writer("no name", String)
    with pytest.raises(DeviceError, match="cannot read no name: "):
        here.reader("no name", String)


def test_a_closed_session_says_so(domain: int):
    session = DdsSession(domain)
    writer, reader = session.writer("rt/x", String), session.reader("rt/x", String)
    session.close()
    session.close()
    session.wake()

    for use in (
        lambda: session.wait(0.0),
        lambda: session.writer("rt/y", String),
        lambda: session.reader("rt/y", String),
        lambda: writer.write(String("late")),
        lambda: writer.listeners,
        reader.take,
    ):
        with pytest.raises(DeviceError, match="session is closed"):
            use()


def test_readers_that_died_do_not_hold_up_the_end_for_long():
    with unitree_peer("rt/lowcmd", "rt/inspire/cmd", "rt/reset_pose/cmd") as peer:
        session = DdsSession(peer.domain)
        written = {
            session.writer("rt/lowcmd", LowCmd): LowCmd(),
            session.writer("rt/inspire/cmd", MotorCmds): MotorCmds(),
            session.writer("rt/reset_pose/cmd", String): String(),
        }
        wait_for(lambda: all(writer.listeners for writer in written))
    for writer, message in written.items():
        writer.write(message)

    begun_s = time.monotonic()
    session.close()

    assert time.monotonic() - begun_s < 1.6


def test_a_domain_can_be_entered_again(domain: int):
    for _ in range(3):
        with contextlib.closing(DdsSession(domain, "lo")):
            pass
