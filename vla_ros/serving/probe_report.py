# SPDX-License-Identifier: Apache-2.0
"""What a probe found, as plain JSON values, and those as a table. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.policy_spec import KeyMap
from vla_ros.serving.probe import Answer, Findings

# The parts of a round trip as the table has them: key, words. What a server has is not always told.
_PARTS = (
    ("round_trip", "round trip"),
    ("encode", "  encode"),
    ("server", "  server and wire"),
    ("inference", "    inference"),
    ("wire", "    wire"),
    ("decode", "  decode"),
)
_PERCENTILES = (50, 90, 99)
# What float32 and a change of units make of a limit itself.
_TOLERANCE = 1e-5


def report(
    backend: PolicyBackend, found: Findings, *, wanted: int, advice: Sequence[str]
) -> dict[str, Any]:
    """All of it, as values that JSON has.

    Args:
        backend: What was probed.
        found: What was found.
        wanted: How many answers there should have been.
        advice: What to check next where it failed.
    """
    policy, info, error = backend.policy, found.info, found.error
    ranges = _ranges(backend, found.answers)
    # What comes first makes a model warm and tells nothing of the others.
    steady = found.answers[1:] or found.answers
    made = {
        "ok": error is None,
        "robot": backend.robot.name,
        "policy": policy.name,
        "policy_file": policy.source,
        "backend": backend.name,
        "server": info.description if info else None,
        "connect_ms": _ms(found.connect_s) if info else None,
        "prefix": info.prefix if info else None,
        "max_batch": info.max_batch if info else None,
        "shown": {
            "video": list(policy.video),
            "resized": {
                key: {"size": list(resize.size), "resize": "pad" if resize.pad else "stretch"}
                for key, resize in policy.resizes.items()
            },
            "state": _sizes(policy.state),
            "instruction": policy.instruction_key,
        },
        "expected": {
            "action": _sizes(policy.action),
            "horizon": policy.horizon,
            "rate_hz": policy.rate_hz,
            "chunk_ms": _ms(policy.horizon * policy.step_ns * 1e-9),
        },
        "answers": {"wanted": wanted, "good": len(found.answers)},
        "first_round_trip_ms": _ms(_parts(found.answers[0])["round_trip"] or 0.0)
        if found.answers
        else None,
        "times_ms": _times(steady) if steady else None,
        "actions": ranges,
        "values_beyond_limits": sum(each["beyond"] for each in ranges.values()),
        "error": None
        if error is None
        else {"kind": type(error).__name__, "text": str(error), "next": list(advice)},
    }
    return {**made, "remarks": list(_remarks(made))}


def table(made: Mapping[str, Any]) -> str:
    """A report for people, several lines."""
    shown, expected, answers = made["shown"], made["expected"], made["answers"]
    pace = f"horizon {expected['horizon']} at {expected['rate_hz']:g} Hz"
    lines = [
        f"robot    {made['robot']}",
        f"policy   {made['policy']} ({made['policy_file']}), backend {made['backend']}",
        f"shown    {_images(shown)}; {_listed(shown['state'])}; {shown['instruction']}",
        f"expected {_listed(expected['action'])}; {pace}, {expected['chunk_ms']:.0f} ms",
    ]
    if made["server"]:
        lines.append(f"server   {made['server']}; connected in {made['connect_ms']:.1f} ms")
        lines.append(
            f"answers  {answers['good']} of {answers['wanted']} have these keys and shapes and"
            " are finite"
        )
    if made["times_ms"]:
        lines += ["", *_time_lines(made), "", *_range_lines(made["actions"])]
    lines += [""] if made["remarks"] else []
    lines += [f"note: {remark}" for remark in made["remarks"]]
    if made["error"]:
        lines += ["", f"failed: {made['error']['text']}"]
        lines += [f"  - {step}" for step in made["error"]["next"]]
    return _printable("\n".join(lines)) + "\n"


def _images(shown: Mapping[str, Any]) -> str:
    """The video keys, and the size that their images are given."""
    texts = {
        key: f"{key} ({made['resize']} to {made['size'][0]}x{made['size'][1]})"
        for key, made in shown["resized"].items()
    }
    return ", ".join(texts.get(key, key) for key in shown["video"])


def _parts(answer: Answer) -> dict[str, float | None]:
    """How long each part of a round trip took [s]; None: not told."""
    timing = answer.chunk.timing
    server_ns = timing.received_ns - timing.sent_ns
    # A server whose clock is broken is not believed.
    told = 0 < timing.inference_ns <= server_ns
    return {
        "round_trip": 1e-9 * (answer.given_ns - answer.asked_ns),
        "encode": 1e-9 * (timing.sent_ns - answer.asked_ns),
        "server": 1e-9 * server_ns,
        "inference": 1e-9 * timing.inference_ns if told else None,
        "wire": 1e-9 * (server_ns - timing.inference_ns) if told else None,
        "decode": 1e-9 * (answer.given_ns - timing.received_ns),
    }


def _times(answers: Sequence[Answer]) -> dict[str, dict[str, float] | None]:
    """Part to its percentiles [ms]; None: not told of every answer."""
    samples = [_parts(answer) for answer in answers]
    times: dict[str, dict[str, float] | None] = {}
    for part, _ in _PARTS:
        told = [taken for sample in samples if (taken := sample[part]) is not None]
        if len(told) < len(samples):
            times[part] = None
            continue
        values = np.percentile(told, _PERCENTILES)
        percentiles = {f"p{q}": _ms(value) for q, value in zip(_PERCENTILES, values, strict=True)}
        times[part] = {**percentiles, "max": _ms(max(told))}
    return times


def _ranges(backend: PolicyBackend, answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """Commanded interface to its limits and what was answered [rad, m]; nothing without answers."""
    if not answers:
        return {}
    rows = np.concatenate([answer.chunk.actions for answer in answers])
    ranges: dict[str, dict[str, Any]] = {}
    for name, values in zip(answers[0].chunk.names, rows.T, strict=True):
        limits = backend.robot.limits[name]
        beyond = (values < limits.lower - _TOLERANCE) | (values > limits.upper + _TOLERANCE)
        ranges[name] = {
            "lower": limits.lower,
            "upper": limits.upper,
            "least": round(float(values.min()), 6),
            "greatest": round(float(values.max()), 6),
            "beyond": int(beyond.sum()),
            "values": len(values),
        }
    return ranges


def _remarks(made: Mapping[str, Any]) -> Iterator[str]:
    """What deserves a look although answers came."""
    beyond = {name: each for name, each in made["actions"].items() if each["beyond"]}
    if beyond:
        values = sum(each["values"] for each in made["actions"].values())
        yield (
            f"{made['values_beyond_limits']} of {values} values are beyond the robot's limits"
            f" ({', '.join(beyond)}). The executor clips them. Few may come of made-up images;"
            f" many, of a wrong unit in {made['policy_file']}."
        )
    if not made["times_ms"]:
        return
    slow_ms, expected = made["times_ms"]["round_trip"]["p99"], made["expected"]
    # A chunk of one action is replaced by the next; of more, half is left when that is asked for.
    lasts_ms = expected["chunk_ms"] / (1 if expected["horizon"] == 1 else 2)
    if slow_ms > lasts_ms:
        yield (
            f"the p99 round trip of {slow_ms:.0f} ms is longer than a chunk has time for,"
            f" {lasts_ms:.0f} ms: the robot will halt. doc/tuning.md says what to do."
        )


def _time_lines(made: Mapping[str, Any]) -> Iterator[str]:
    columns = [*(f"p{q}" for q in _PERCENTILES), "max"]
    yield f"{'time [ms]':20}" + "".join(f"{column:>10}" for column in columns)
    for part, words in _PARTS:
        times = made["times_ms"][part]
        cells = (f"{times[column]:10.2f}" for column in columns) if times else ("  not told",)
        yield f"{words:20}" + "".join(cells)
    yield f"{'first round trip':20}{made['first_round_trip_ms']:10.2f}"


def _range_lines(ranges: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    width = max(len("action [rad, m]"), *(len(name) for name in ranges))
    columns = ("lower", "upper", "least", "greatest", "beyond")
    yield f"{'action [rad, m]':{width}}" + "".join(f"{column:>10}" for column in columns)
    for name, each in ranges.items():
        cells = "".join(f"{each[column]:10.3f}" for column in columns[:-1])
        yield f"{name:{width}}{cells}{each['beyond']:10d}"


def _printable(text: str) -> str:
    """A text, lines and all, without what a server might tell a terminal to do."""
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )


def _sizes(keys: Mapping[str, KeyMap]) -> dict[str, int]:
    return {key: len(mapping.interfaces) for key, mapping in keys.items()}


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{key} ({size})" for key, size in sizes.items())


def _ms(seconds: float) -> float:
    return round(1e3 * float(seconds), 3)
