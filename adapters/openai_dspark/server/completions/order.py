"""A completion request with everything decided, as requests of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.sampling.params import SamplingParams
from openai_dspark.server.auth import Caller
from openai_dspark.server.errors import ApiError
from openai_dspark.server.sampling import branches, sampling_of, treatment_of, wanted_of
from openai_dspark.wire.completion_request import CompletionRequest

if TYPE_CHECKING:
    from openai_dspark.server.service import Service

# What the API gives a request that does not say.
_DEFAULT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class CompletionOrder:
    """What one request asks of the engine. ``requests`` takes time: call it off the loop."""

    service: Service
    body: CompletionRequest
    sampling: SamplingParams
    options: RequestOptions
    labels: Labels
    prompts: list[str] | list[list[int]]
    n: int

    @classmethod
    def of(
        cls,
        service: Service,
        body: CompletionRequest,
        caller: Caller,
        headers: Mapping[str, str],
    ) -> CompletionOrder:
        """Decide what can be decided without tokenising; ``ApiError`` names a fault."""
        options, labels = treatment_of(body, service.names, caller, headers)
        prompts, n = _prompts(body), body.n or 1
        if len(prompts) * n > service.settings.max_choices:
            raise ApiError(
                400,
                f"n: this server gives at most {service.settings.max_choices} choices.",
                param="n",
            )
        if body.echo and body.logprobs is not None:
            raise ApiError(
                400, "echo: prompts have no log-probabilities here; ask for one.", param="echo"
            )
        if body.stream_options is not None and not body.stream:
            raise ApiError(400, "stream_options needs stream: true.", param="stream_options")
        return cls(
            service=service,
            body=body,
            sampling=sampling_of(
                body,
                service.settings,
                max_tokens=body.max_tokens or _DEFAULT_TOKENS,
                logprobs=body.logprobs,
            ),
            options=options,
            labels=labels,
            prompts=prompts,
            n=n,
        )

    def requests(self) -> list[Request]:
        """One request per choice, prompt by prompt."""
        tokenizer = self.service.engine.target.tokenizer
        constraint = self._constraint()
        return [
            Request(
                prompt_token_ids=ids,
                sampling=sampling,
                options=self.options,
                labels=self.labels,
                constraint=constraint,
            )
            for prompt in self.prompts
            for ids in (tokenizer.encode(prompt) if isinstance(prompt, str) else prompt,)
            for sampling in branches(self.sampling, self.n)
        ]

    def echoes(self) -> list[str]:
        """What goes before each choice's text."""
        decode = self.service.engine.target.tokenizer.decode
        if not self.body.echo:
            return [""] * (len(self.prompts) * self.n)
        return [
            text
            for prompt in self.prompts
            for text in [prompt if isinstance(prompt, str) else decode(prompt)] * self.n
        ]

    def _constraint(self) -> Constraint | None:
        """What the text must look like, by the rules for a chat's answer."""
        return ChatFormat.of(**wanted_of(self.body)).wanted


def _prompts(body: CompletionRequest) -> list[str] | list[list[int]]:
    prompt = body.prompt
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [prompt]
    return prompt
