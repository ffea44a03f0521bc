"""Two runs never write into one folder at a time, and a lock ends with its process."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agentspark.errors import TrainError
from agentspark.train import lock as lock_module
from agentspark.train.lock import lock_data, lock_run
from agentspark.train.progress import silent_stage


def test_a_second_run_is_refused_until_the_first_one_ends(tmp_path: Path):
    work = tmp_path / "out" / "work"
    with lock_run(work):
        with pytest.raises(
            TrainError, match=r"at work in .*out: wait for agentspark train \(process \d+ on "
        ):
            lock_run(work).__enter__()
        # Its data are another matter, and another folder is free.
        with lock_data(work, silent_stage), lock_run(tmp_path / "other" / "work"):
            pass
    with lock_run(work):
        pass


def test_a_kill_frees_the_folder(tmp_path: Path):
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from agentspark.train.lock import lock_run\n"
        "lock_run(Path(sys.argv[1])).__enter__()\nos.kill(os.getpid(), 9)\n"
    )
    path = {"PYTHONPATH": str(Path(lock_module.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=path, timeout=60, check=False
    )
    assert done.returncode == -9
    assert (tmp_path / ".lock").exists()
    with lock_run(tmp_path):
        pass


def test_data_at_work_are_waited_for_and_that_is_shown(tmp_path: Path):
    shown: list[str] = []
    with ExitStack() as first:
        first.enter_context(lock_data(tmp_path, silent_stage))

        @contextmanager
        def stage(title: str):
            shown.append(title)
            first.close()  # the other run has its data
            yield lambda done, total, numbers: None

        with lock_data(tmp_path, stage):
            assert shown == [f"waiting for another run's data in {tmp_path.parent}"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainError, match=r"file/work cannot be written to .*another folder"):
        lock_run(tmp_path / "file" / "work").__enter__()
