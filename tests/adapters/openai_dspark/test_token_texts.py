"""Showing tokens does not decode the same ones over and over."""

from __future__ import annotations

from agentspark.engine.result import Delta
from agentspark.sampling.logprob import TokenLogprob
from openai_dspark.server.tokens import TokenTexts


def test_a_token_is_decoded_once_however_often_it_is_shown(served, monkeypatch):
    target = served.engine.target
    decode, asked = target.tokenizer.token_text, []

    def counted(token_id, *, first=False):
        asked.append((token_id, first))
        return decode(token_id, first=first)

    monkeypatch.setattr(target.tokenizer, "token_text", counted)
    texts = TokenTexts(target.tokenizer, target.spec.eos_token_ids)
    logprobs = [TokenLogprob(5, -1.0, ((5, -1.0), (6, -2.0), (7, -3.0)))] * 50
    shown = []
    for _ in range(3):
        tokens = texts.choice()
        tokens.add(Delta([5] * 50, "", logprobs))
        shown.append(tokens.chat())
    assert shown[0] == shown[1] == shown[2]
    assert shown[0].content[1].token == decode(5)
    assert len(asked) == len(set(asked)) == 6
