"""A chat request with everything decided, as requests of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request, new_request_id
from agentspark.engine.result import Completion
from agentspark.sampling.params import SamplingParams
from openai_dspark.server.auth import Caller
from openai_dspark.server.chat.reply import message_of
from openai_dspark.server.errors import ApiError
from openai_dspark.server.runs import RunGuess
from openai_dspark.server.sampling import branches, sampling_of, treatment_of, wanted_of
from openai_dspark.wire.chat_request import ChatRequest
from openai_dspark.wire.text import plain

if TYPE_CHECKING:
    from openai_dspark.server.service import Service


@dataclass(frozen=True, slots=True)
class ChatOrder:
    """What one chat request asks of the engine. ``requests`` takes time: call it off the loop."""

    service: Service
    body: ChatRequest
    caller: Caller
    sampling: SamplingParams
    options: RequestOptions
    labels: Labels
    n: int
    # What ``requests`` took the chat for, where nobody said.
    guesses: list[RunGuess] = field(default_factory=list)

    @classmethod
    def of(
        cls, service: Service, body: ChatRequest, caller: Caller, headers: Mapping[str, str]
    ) -> ChatOrder:
        """Decide what can be decided without reading the messages; ``ApiError`` names a fault."""
        options, labels = treatment_of(body, service.names, caller, headers)
        n = body.n or 1
        if n > service.settings.max_choices:
            raise ApiError(
                400, f"n: this server gives at most {service.settings.max_choices}.", param="n"
            )
        if body.stream_options is not None and not body.stream:
            raise ApiError(400, "stream_options needs stream: true.", param="stream_options")
        return cls(
            service=service,
            body=body,
            caller=caller,
            sampling=sampling_of(
                body,
                service.settings,
                max_tokens=_max_tokens(body, service.settings.default_max_tokens),
                logprobs=_logprobs(body),
            ),
            options=options,
            labels=labels,
            n=n,
        )

    def messages(self) -> list[dict[str, Any]]:
        """The chat as the engine takes it."""
        return [message.to_engine() for message in self.body.messages]

    def requests(self) -> list[Request]:
        """One request per choice, over the same prompt."""
        engine, messages = self.service.engine, self.messages()
        request = self._prompt(messages)
        if self.body.prediction is not None:
            text = plain(self.body.prediction.content)
            ids = engine.target.tokenizer.encode_continuation(text)
            request = replace(request, prediction=ids)
        # At last, so that a chat that is refused begins no run.
        request = replace(request, labels=self._labels(messages))
        return [
            replace(request, id=new_request_id(), sampling=sampling)
            for sampling in branches(self.sampling, self.n)
        ]

    def prompt_tokens(self) -> int:
        """How long the prompt is; takes time as ``requests`` does."""
        return len(self._prompt(self.messages()).prompt_token_ids)

    def _prompt(self, messages: list[dict[str, Any]]) -> Request:
        return self.service.engine.chat_request(
            messages, self.sampling, chat=self._format(), options=self.options, labels=self.labels
        )

    def answered(self, completion: Completion) -> None:
        """Note one of the answers: the chat that repeats it is its run's next step."""
        for guess in self.guesses:
            answer = message_of(completion).to_dict()
            self.service.runs.answered(guess, answer)

    def unanswered(self) -> None:
        """Note that the chat got no answer: the same one again is the same call."""
        for guess in self.guesses:
            self.service.runs.unanswered(guess)

    def _labels(self, messages: list[dict[str, Any]]) -> Labels:
        """The labels, with the run that the chat is taken for where nobody named one."""
        if self.labels.run is not None:
            return self.labels
        guess = self.service.runs.guess(messages, (self.options.cache_salt, self.labels.arm))
        self.guesses.append(guess)
        return replace(self.labels, run=guess.run)

    def _format(self) -> ChatFormat:
        body, tools, choice = self.body, self.body.functions, self.body.tool_choice
        return ChatFormat.of(
            tools=None if tools is None else [tool.as_sent() for tool in tools],
            tool_choice=choice if choice is None or isinstance(choice, str) else choice.as_sent(),
            parallel_tool_calls=body.parallel_tool_calls,
            template_args=self._template_args() or None,
            **wanted_of(body),
        )

    def _template_args(self) -> dict[str, Any]:
        """Arguments of the chat template; reasoning effort is one where the template knows it."""
        given = dict(self.body.chat_template_kwargs or {})
        effort = self.body.reasoning_effort
        template = str(self.service.engine.target.tokenizer.hf.chat_template)
        if effort is None:
            return given
        if "reasoning_effort" in template:
            return {"reasoning_effort": effort, **given}
        if effort == "none":
            return {"enable_thinking": False, **given} if "enable_thinking" in template else given
        raise ApiError(
            400,
            f"reasoning_effort: this model cannot be told to reason with effort {effort!r}.",
            param="reasoning_effort",
        )


def _max_tokens(body: ChatRequest, default: int) -> int:
    old, new = body.max_tokens, body.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise ApiError(
            400,
            "max_tokens and max_completion_tokens differ: give one of them.",
            param="max_completion_tokens",
        )
    return new or old or default


def _logprobs(body: ChatRequest) -> int | None:
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise ApiError(400, "top_logprobs needs logprobs: true.", param="top_logprobs")
    return None
