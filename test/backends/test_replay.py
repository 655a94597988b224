# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.gr00t_samples import HORIZON, NAMES, POLICY, observation, policy, robot
from vla_ros.backends.replay import Backend, ReplayConfig, load_recording
from vla_ros.core.errors import BackendUnavailable, ConfigError

ROWS = 40
STEP_NS = 33_333_333
START_NS = 1_700_000_000_000_000_000
DATA = Path(__file__).parents[3] / "shared/data/gr1_pick_and_place"


def arrays(**changed: Any) -> dict[str, Any]:
    """Row i has the state i / 100 and the action i / 100 + 5 in all columns."""
    row = np.arange(ROWS)[:, None] / 100 + np.zeros((1, 6))
    fields = {
        "state": row.astype(np.float32),
        "action": (row + 5).astype(np.float32),
        "timestamp_s": np.arange(ROWS) / 30,
        **changed,
    }
    return {name: value for name, value in fields.items() if value is not None}


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "episode.npz"
    np.savez(path, **arrays(**changed))
    return path


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    config = ReplayConfig(recording=str(written(tmp_path)))
    made = Backend(config, robot=robot(), policy=policy())
    info = made.connect()
    assert info.description.endswith("episode.npz, 40 rows")
    return made


def rows_of(backend: Backend, *, row: float, after_ns: int) -> np.ndarray:
    """(H,) The recorded rows that are answered to an observation."""
    seen = observation(stamp_ns=START_NS + after_ns, state_names=NAMES, state=np.full(6, row / 100))
    actions = backend.infer(seen).actions
    assert (actions == actions[:, :1]).all()
    return np.round((actions[:, 0] - 5) * 100).astype(int)


def test_the_first_observation_is_matched_by_its_state_and_the_others_by_time(backend: Backend):
    np.testing.assert_array_equal(rows_of(backend, row=7.3, after_ns=0), 7 + np.arange(HORIZON))
    # The state does not matter any more.
    later = rows_of(backend, row=30, after_ns=round(3.4 * STEP_NS))
    np.testing.assert_array_equal(later, 10 + np.arange(HORIZON))
    np.testing.assert_array_equal(rows_of(backend, row=0, after_ns=-2 * STEP_NS)[:2], [5, 6])


def test_a_reset_matches_anew(backend: Backend):
    rows_of(backend, row=7, after_ns=0)
    backend.reset()

    assert rows_of(backend, row=20, after_ns=0)[0] == 20


def test_the_last_row_is_repeated_after_the_end(backend: Backend):
    np.testing.assert_array_equal(
        rows_of(backend, row=37, after_ns=0), [37, 38, *[39] * (HORIZON - 2)]
    )
    assert set(rows_of(backend, row=37, after_ns=10**12)) == {39}


def test_the_first_row_is_repeated_before_the_beginning(backend: Backend):
    rows_of(backend, row=1, after_ns=0)

    np.testing.assert_array_equal(rows_of(backend, row=0, after_ns=-3 * STEP_NS)[:4], [0, 0, 0, 1])


def test_of_two_rows_with_the_same_state_the_earlier_is_taken(tmp_path: Path):
    state = arrays()["state"]
    state[30] = state[10]
    path = written(tmp_path, state=state)
    made = Backend(ReplayConfig(recording=str(path)), robot=robot(), policy=policy())
    made.connect()

    assert rows_of(made, row=10, after_ns=0)[0] == 10


def test_the_columns_are_in_the_policys_units(tmp_path: Path):
    degrees = policy(POLICY.replace("unit: rad", "unit: degree"))

    recording = load_recording(written(tmp_path), degrees)

    np.testing.assert_allclose(recording.state[10], np.radians(0.1), rtol=1e-6)
    np.testing.assert_allclose(recording.action[10], np.radians(5.1), rtol=1e-6)


def test_nothing_is_replayed_before_the_connection(backend: Backend):
    backend.close()
    backend.close()

    with pytest.raises(BackendUnavailable, match="no recording is loaded; call connect first"):
        backend.infer(observation())


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"state": None}, "state is missing; it has action, timestamp_s"),
        ({"timestamp_s": None}, "timestamp_s is missing"),
        ({"state": np.zeros((ROWS, 5))}, r"state has shape \(40, 5\), expected \(40, 6\) for the"),
        ({"action": np.zeros((39, 6))}, r"action has shape \(39, 6\), expected \(40, 6\)"),
        ({"action": np.zeros(ROWS)}, r"action must be 2-dimensional finite floats, found \(40,\)"),
        ({"action": np.zeros((ROWS, 6), int)}, "action must be .* finite floats, found .* int64"),
        ({"action": np.full((ROWS, 6), np.nan)}, "action must be 2-dimensional finite floats"),
        ({"timestamp_s": np.zeros(ROWS)}, "timestamp_s must hold at least 2 stamps, each after"),
        ({"timestamp_s": np.arange(ROWS) / 20}, "recorded at 20.00 Hz, but .* rate_hz 30"),
        ({"state": np.array([[None] * 6] * ROWS)}, "cannot be read: Object arrays cannot be"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused(
    tmp_path: Path, changed: dict[str, Any], text: str
):
    path = written(tmp_path, **changed)

    with pytest.raises(ConfigError, match=f"episode.npz: {text}"):
        load_recording(path, policy())


def test_a_single_row_is_no_recording(tmp_path: Path):
    one = {name: value[:1] for name, value in arrays().items()}

    with pytest.raises(ConfigError, match="at least 2 stamps"):
        load_recording(written(tmp_path, **one), policy())


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path):
    path = tmp_path / "episode.npz"
    with pytest.raises(ConfigError, match=r"episode\.npz: is no \.npz file, or does not exist"):
        load_recording(path, policy())
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ConfigError, match=r"is no \.npz file"):
        load_recording(path, policy())


def test_a_damaged_file_is_refused(tmp_path: Path):
    path = tmp_path / "episode.npz"
    np.savez_compressed(path, **arrays())
    whole = bytearray(path.read_bytes())
    for start in range(60, len(whole) - 200, 40):
        path.write_bytes(whole[:start] + bytes(20) + whole[start + 20 :])
        with pytest.raises(ConfigError, match=r"episode\.npz: "):
            load_recording(path, policy())


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
@pytest.mark.parametrize("number", range(4))
def test_real_recordings_are_replayed_row_by_row(number: int):
    names = [f"j{index}/position" for index in range(44)]
    keys = f"{{all: {{interfaces: [{', '.join(names)}], unit: rad}}}}"
    real = policy(
        "name: real\nbackend: replay\nrate_hz: 20\nhorizon: 16\ninstruction_key: task\nvideo: {}\n"
        f"state: {keys}\naction: {keys}\n"
    )
    path = DATA / f"episode_{number:02}.npz"
    file = np.load(path, allow_pickle=False)
    made = Backend(ReplayConfig(recording=str(path)), robot=robot(), policy=real)
    made.connect()
    for row in (25, 30, 200, len(file["action"]) - 3):
        stamp_ns = START_NS + round(file["timestamp_s"][row] * 1e9)
        state = file["state"][row].astype(float) if row == 25 else np.zeros(44)
        seen = observation(stamp_ns=stamp_ns, state_names=tuple(names), state=state)
        expected = file["action"][row : row + 16]
        np.testing.assert_allclose(made.infer(seen).actions[: len(expected)], expected)
