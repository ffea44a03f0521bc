"""Of a file's responses those are used that answer the given prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentspark.errors import DataError
from agentspark.prompts.prompt import Prompt
from agentspark.train.answered import read_answers
from agentspark.train.config import DataConfig
from agentspark.train.responses import Response, read_responses, sample_id

DATA = DataConfig(samples=2, max_prompt_tokens=4)
PROMPTS = [Prompt(f"p{n}", "chat", [{"role": "user", "content": str(n)}], None) for n in range(4)]


def answer(name: str, prompt: Prompt | None, **other) -> Response:
    asked = None if prompt is None else prompt.digest
    return replace(Response(name, "chat", 0.0, [1, 2], [3, 4], "target", asked), **other)


def written(folder: Path, *responses: Response) -> Path:
    path = folder / "responses.jsonl"
    path.write_text("".join(response.to_line() for response in responses))
    assert list(read_responses(path)) == list(responses)
    return path


def test_other_prompts_samples_and_lengths_are_passed_over(tmp_path: Path) -> None:
    long = answer("p3", PROMPTS[3], prompt_token_ids=[1] * 5)
    fit = [answer("p2", PROMPTS[2]), answer("p0", PROMPTS[0]),
           answer(sample_id("p0", 1), PROMPTS[0]), answer("p1", None, target=None)]  # fmt: skip
    other = [answer("q", PROMPTS[0]), answer(sample_id("p0", 2), PROMPTS[0]), fit[0]]
    path = written(tmp_path, other[0], fit[0], long, fit[1], *other[1:], *fit[2:])
    assert list(read_answers(path, PROMPTS, DATA, "target")) == fit
    assert list(read_answers(path, PROMPTS, replace(DATA, max_responses=3), "target")) == fit[:3]
    assert [r.id for r in read_answers(path, PROMPTS[:1], DATA, "target")] == ["p0", "p0#sample-1"]


def test_another_prompt_under_the_id_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, answer("p0", PROMPTS[1]))
    with pytest.raises(DataError, match="another prompt with the id of 'p0'"):
        list(read_answers(path, PROMPTS, DATA, "target"))
    # Of older responses it is known where the prompt was given as tokens.
    path = written(tmp_path, answer("p0", None))
    given = Prompt("p0", "chat", None, [1, 2])
    assert len(list(read_answers(path, [given], DATA, "target"))) == 1
    with pytest.raises(DataError, match="another prompt"):
        list(read_answers(path, [replace(given, token_ids=[1, 3])], DATA, "target"))


def test_another_targets_responses_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, answer("p0", PROMPTS[0], target="other"))
    with pytest.raises(DataError, match="responses of another target"):
        list(read_answers(path, PROMPTS, DATA, "target"))
