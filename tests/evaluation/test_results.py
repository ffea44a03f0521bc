"""Results of an evaluation as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.errors import ConfigError
from agentspark.evaluation.plot import draw
from agentspark.evaluation.results import Entrant, Evaluation, Setup


def test_results_that_cannot_be_written_say_which_and_what_to_do(tmp_path: Path) -> None:
    found = Evaluation.model_construct(
        setup=Setup.model_construct(target="tiny", prompts=1, temperatures=[0.0]),
        entrants=[Entrant.model_construct(name="none")],
        scores=[],
    )
    for name, write in (("evaluation.json", Evaluation.write), ("evaluation.png", draw)):
        (tmp_path / name).mkdir()
        with pytest.raises(ConfigError, match=rf"{name} cannot be written \(.*another folder"):
            write(found, tmp_path)
