# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.serving.server_options import parser

FACTS = ["--robot", "r", "--policy", "p"]


def test_without_a_word_one_protocol_is_served_to_this_machine_alone():
    options = parser().parse_args(FACTS)
    assert (options.host, options.protocol, options.port) == ("127.0.0.1", None, None)
    assert (options.gr00t, options.gr00t_http, options.metrics) == (None, None, None)
    assert (options.max_batch, options.batch_wait_ms, options.drain_s) == (None, 5.0, 5.0)


def test_several_protocols_are_named_with_or_without_a_port():
    options = parser().parse_args([*FACTS, "--zmq", "--http", "8123", "--websocket", "0"])
    assert (options.gr00t, options.gr00t_http, options.openpi) == (5555, 8123, 0)
    assert (options.lerobot, options.act) == (None, None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--port", "65536"], "must be int of 0 to 65535, found '65536'"),
        (["--port", "x"], "must be int of 0 to 65535, found 'x'"),
        (["--latency-ms", "-1"], "must be float of 0 to 600000, found '-1'"),
        (["--latency-jitter-ms", "nan"], "must be float of 0 to 600000, found 'nan'"),
        (["--max-message-mib", "0"], "must be float of 0.001 to 1024, found"),
        (["--modality-wire", "T"], "invalid choice: 'T'"),
        (["--backend", "base"], "invalid choice: 'base'"),
        (["--protocol", "grpc"], "invalid choice: 'grpc'"),
        (["--zmq", "-1"], "must be int of 0 to 65535, found '-1'"),
        (["--max-batch", "0"], "must be int of 1 to 1024, found '0'"),
        (["--batch-wait-ms", "x"], "must be float of 0 to 1000, found 'x'"),
        (["--drain-s", "inf"], "must be float of 0 to 3600, found 'inf'"),
        (["--max-waiting", "0"], "must be int of 1 to 65536, found '0'"),
    ],
)
def test_arguments_that_cannot_be_are_named(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*FACTS, *options])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
