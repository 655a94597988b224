# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.pictures import picture
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.teleimager import (
    CONFIG_REQUEST,
    ImageSource,
    decode_config,
    encode_config,
    legacy_jpeg,
    legacy_message,
    usual_sources,
)

# As the configuration of a robot reads, with an entry that is no camera, and one that is off.
ROBOT: dict[str, Any] = {
    "webrtc": {"bitrate": {"min": 2000000, "default": 5000000}, "gop_length": 60},
    "head_camera": {
        "enable_zmq": True,
        "zmq_port": 55555,
        "enable_webrtc": True,
        "webrtc_port": 60001,
        "webrtc_codec": "h264",
        "type": "uvc",
        "image_shape": [480, 1280],
        "binocular": True,
        "fps": 30,
        "video_id": 0,
        "serial_number": "01.00.00",
        "physical_path": None,
    },
    "left_wrist_camera": {"enable_zmq": True, "zmq_port": 55556},
    "right_wrist_camera": {"enable_zmq": False, "zmq_port": 55557},
    "version": "2",
}


def test_what_is_asked_is_what_servers_know():
    assert CONFIG_REQUEST == b"GET_DATA"


def test_the_sources_of_a_configuration_are_found_among_the_rest():
    assert decode_config(json.dumps(ROBOT).encode()) == {
        "head_camera": ImageSource("head_camera", 55555, 480, 1280, binocular=True, fps=30.0),
        "left_wrist_camera": ImageSource("left_wrist_camera", 55556, 0, 0, binocular=False, fps=0),
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "is list, no object"),
        (b'{"a": {"enable_zmq": true}}', "camera a: zmq_port must be 1 to 65535, found None"),
        (b'{"a": {"enable_zmq": true, "zmq_port": 70000}}', "found 70000"),
        (b'{"a": {"enable_zmq": true, "zmq_port": "55555"}}', "found '55555'"),
        (b'{"a": {"enable_zmq": true, "zmq_port": true}}', "found True"),
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes, words: str):
    with pytest.raises(DeviceError, match=words):
        decode_config(data)


@given(st.binary(max_size=100) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.dictionaries(
        st.sampled_from(["enable_zmq", "zmq_port", "image_shape", "fps", "binocular", "a"]), inner
    ) | st.lists(inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_a_configuration_or_refused(data: bytes):
    try:
        sources = decode_config(data)
    except DeviceError:
        return
    assert all(0 < source.port < 65536 for source in sources.values())


def test_what_a_server_tells_is_what_a_client_reads():
    sources = usual_sources({"chest": (480, 640), "thumb": (240, 320)}, fps=15.0)

    assert [(source.name, source.port) for source in sources] == [
        ("chest_camera", 55555),
        ("thumb_camera", 55556),
    ]
    assert tuple(decode_config(encode_config(sources)).values()) == sources


def test_a_server_tells_of_a_camera_what_clients_look_for():
    (told,) = json.loads(encode_config(usual_sources({"chest": (480, 640)}, fps=15.0))).values()

    assert told.keys() == ROBOT["head_camera"].keys()
    assert told["image_shape"] == [480, 640]


def test_a_legacy_image_is_found_with_and_without_a_header():
    jpeg = picture(7)

    assert legacy_jpeg(jpeg) == jpeg
    assert legacy_jpeg(struct.pack("dI", 1.5e9, 12) + jpeg) == jpeg
    assert legacy_message(jpeg, time_s=2.0, number=3) == struct.pack("dI", 2.0, 3) + jpeg


@pytest.mark.parametrize("data", [b"", b"\0" * 20, b"x" + picture(7)])
def test_a_legacy_message_without_an_image_is_refused(data: bytes):
    with pytest.raises(DeviceError, match="no JPEG file"):
        legacy_jpeg(data)
