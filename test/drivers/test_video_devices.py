# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from vla_ros.core.errors import ConfigError, DeviceError
from vla_ros.drivers.video_devices import find_video_device, video_devices

SERIAL = "usb-046d_HD_Pro_Webcam_C920_ABC123-video-index0"
SOCKET = "pci-0000:00:14.0-usb-0:2:1.0-video-index0"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with ten devices without a name, and a camera with a serial number."""
    for number in (2, 10, 0):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / f"dev/video{number}").touch()
    (tmp_path / "dev/video-codec").touch()
    for folder, link in (("by-id", SERIAL), ("by-path", SOCKET)):
        (tmp_path / "dev/v4l" / folder).mkdir(parents=True)
        (tmp_path / "dev/v4l" / folder / link).symlink_to("../../video2")
    (tmp_path / "sys/class/video4linux/video2").mkdir(parents=True)
    (tmp_path / "sys/class/video4linux/video2/name").write_text("HD Pro Webcam C920\n")
    return tmp_path


def test_the_cameras_are_listed_with_their_names_and_stable_paths(root: Path):
    found = video_devices(root)

    assert [device.path.name for device in found] == ["video0", "video2", "video10"]
    assert found[1].name == "HD Pro Webcam C920"
    assert [link.name for link in found[1].links] == [SERIAL, SOCKET]
    dev = root / "dev"
    assert str(found[1]) == f"{dev}/video2 ('HD Pro Webcam C920', {dev}/v4l/by-id/{SERIAL})"
    assert str(found[0]) == f"{dev}/video0"


@pytest.mark.parametrize(
    ("device", "path"),
    [
        ("10", "dev/video10"),
        ("video0", "dev/video0"),
        ("ROOT/dev/video2", "dev/video2"),
        (SERIAL, f"dev/v4l/by-id/{SERIAL}"),
        (SOCKET, f"dev/v4l/by-path/{SOCKET}"),
        (f"ROOT/dev/v4l/by-id/{SERIAL}", f"dev/v4l/by-id/{SERIAL}"),
    ],
)
def test_a_camera_is_found_by_number_path_and_stable_name(root: Path, device: str, path: str):
    assert find_video_device(device.replace("ROOT", str(root)), root) == root / path


def test_a_link_whose_camera_is_gone_is_not_there(root: Path):
    (root / "dev/video2").unlink()

    with pytest.raises(DeviceError, match=f"{SERIAL}' does not exist"):
        find_video_device(SERIAL, root)


@pytest.mark.parametrize("device", ["7", "/dev/nothing", "C920"])
def test_an_unknown_camera_is_told_of_those_that_there_are(root: Path, device: str):
    with pytest.raises(DeviceError) as refusal:
        find_video_device(device, root)

    text = str(refusal.value)
    assert text.startswith(f"camera '{device}' does not exist; there are: {root}/dev/video0; ")
    assert f"{root}/dev/video2 ('HD Pro Webcam C920', {root}/dev/v4l/by-id/{SERIAL})" in text


def test_no_camera_at_all_is_said(tmp_path: Path):
    with pytest.raises(DeviceError, match="'0' does not exist; there is no camera at all"):
        find_video_device("0", tmp_path)


def test_an_empty_name_is_a_mistake(root: Path):
    with pytest.raises(ConfigError, match="no camera was given; there are: "):
        find_video_device("", root)
