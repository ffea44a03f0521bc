"""Work that is told to stop saves, says so, and ends with the signal's exit code."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import typer

from agentspark.cli.stopping import stoppable
from agentspark.train import pipeline


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_told_to_stop_is_interrupted(
    cli, jsonl, tmp_path, monkeypatch, number, code
):
    ended = []

    def train(*args, **more):
        try:
            os.kill(os.getpid(), number)
            threading.Event().wait(60.0)  # for the signal, which may not be seen at once
        except KeyboardInterrupt:
            ended.append("saved")
            raise

    monkeypatch.setattr(pipeline, "train_drafter", train)
    before = signal.getsignal(signal.SIGTERM)
    prompts = jsonl("prompts.jsonl", {"id": "a", "prompt_token_ids": [1, 5]})
    said = cli("train", "--prompts", prompts, "--out", tmp_path / "mine")
    assert (said.code, ended) == (code, ["saved"])
    assert f"kept in {tmp_path / 'mine'}: the same command goes on" in said.err
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_has_no_signals_to_handle(capsys):
    codes: list[int] = []

    def work() -> None:
        try:
            with stoppable("Kept."):
                raise KeyboardInterrupt
        except typer.Exit as end:
            codes.append(end.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [130]
    assert capsys.readouterr().err == "Kept.\n"
