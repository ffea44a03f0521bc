"""On the real default target: over HTTP, in this process and without speculation alike."""

from __future__ import annotations

import openai
import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.sampling.params import SamplingParams

from ..serving import MODEL, serving

PROMPTS = (
    "Name three colours.",
    "Write a Python function that adds two numbers.",
    "Repeat this line twice: The cache keeps the keys and values of every prefix.",
)
PLAIN = RequestOptions(speculation="off", share_prefix=False)


@pytest.mark.real
def test_greedy_output_is_the_same_however_it_is_asked_for():
    config = EngineConfig(kv_tokens=8192)
    with serving(Engine.load("smollm2", config=config)) as served:
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
            for prompt in PROMPTS:
                messages = [{"role": "user", "content": prompt}]
                plain = served.engine.chat(messages, SamplingParams(max_tokens=16), options=PLAIN)
                for model in (MODEL, f"{MODEL}:baseline"):
                    answer = client.chat.completions.create(
                        model=model, messages=messages, temperature=0, max_tokens=16
                    )
                    assert answer.choices[0].message.content == plain.text
                    assert answer.usage.completion_tokens == plain.counts.completion_tokens
                    assert answer.choices[0].finish_reason == plain.finish_reason
        assert served.settled()
