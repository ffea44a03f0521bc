"""From a request's fields to the engine's sampling parameters, formats, options and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from agentspark.engine.params import Labels, RequestOptions
from agentspark.sampling.params import SamplingParams
from agentspark.trace.record import Arm
from openai_dspark.server.auth import Caller
from openai_dspark.server.errors import ApiError
from openai_dspark.server.labels import read_labels, told
from openai_dspark.server.names import ModelNames
from openai_dspark.server.settings import ServerSettings
from openai_dspark.wire.formats import StructuredOutputs
from openai_dspark.wire.sampling import GenerationBody


def sampling_of(
    body: GenerationBody, settings: ServerSettings, *, max_tokens: int, logprobs: int | None
) -> SamplingParams:
    """How ``body`` wants its tokens chosen; what it leaves open is the server's default."""
    temperature = body.temperature
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    plain = SamplingParams()
    return SamplingParams(
        max_tokens=max_tokens,
        min_tokens=body.min_tokens or 0,
        temperature=settings.default_temperature if temperature is None else temperature,
        top_p=plain.top_p if body.top_p is None else body.top_p,
        top_k=max(body.top_k or 0, 0),
        min_p=body.min_p or 0.0,
        repetition_penalty=body.repetition_penalty or plain.repetition_penalty,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        stop=stop,
        seed=body.seed,
        logprobs=logprobs,
        logit_bias=_biases(body.logit_bias or {}),
        ignore_eos=bool(body.ignore_eos),
    )


def branches(sampling: SamplingParams, n: int) -> list[SamplingParams]:
    """The sampling of each of ``n`` choices: the same, with a seed of its own each."""
    if sampling.seed is None:
        return [sampling] * n
    return [replace(sampling, seed=sampling.seed + index) for index in range(n)]


def treatment_of(
    body: GenerationBody, names: ModelNames, caller: Caller, headers: Mapping[str, str]
) -> tuple[RequestOptions, Labels]:
    """What acceleration ``body`` gets, and what its trace says of it; ``ApiError`` names a fault.

    The arm is the one that the model's name, a header or the metadata asks for.
    """
    metadata = body.metadata or {}
    arm = names.arm(body.model, *told("arm", headers, metadata))
    options = _options(body, arm, caller)
    return options, read_labels(headers, metadata, _arm_label(options, arm))


def wanted_of(body: GenerationBody) -> dict[str, Any]:
    """What the answer must look like, as arguments of ``ChatFormat.of``."""
    wanted, outputs = body.response_format, body.structured_outputs or StructuredOutputs()
    schema = outputs.json_schema
    if isinstance(schema, str):
        schema = _read_schema(schema)
    if outputs.json_object:
        if schema is not None:
            param = "structured_outputs.json_object"
            raise ApiError(400, f"{param} cannot be combined with json.", param=param)
        schema = {"type": "object"}
    return {
        "response_format": None if wanted is None else wanted.as_sent(),
        "json_schema": schema,
        "regex": outputs.regex,
        "choice": outputs.choice,
        "grammar": outputs.grammar,
    }


def _read_schema(text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        param = "structured_outputs.json"
        raise ApiError(400, f"{param} is no JSON: {error}.", param=param) from error


def _options(body: GenerationBody, arm: Arm | None, caller: Caller) -> RequestOptions:
    """What acceleration ``body`` gets. The baseline arm drafts nothing and shares nothing.

    Callers with different keys never share prefixes, whatever salts they give.
    """
    salt = "/".join(part for part in (caller.salt, body.cache_salt) if part) or None
    wish = body.agentspark
    if arm == "baseline":
        if wish is not None and (wish.speculation not in (None, "off") or wish.share_prefix):
            raise ApiError(
                400, "The baseline arm drafts nothing and shares no prefix.", param="agentspark"
            )
        return RequestOptions(speculation="off", share_prefix=False, cache_salt=salt)
    plain = RequestOptions()
    if wish is None:
        return RequestOptions(cache_salt=salt)
    return RequestOptions(
        speculation=wish.speculation or plain.speculation,
        verify=plain.verify if wish.verify is None else wish.verify,
        share_prefix=plain.share_prefix if wish.share_prefix is None else wish.share_prefix,
        cache_salt=salt,
    )


def _arm_label(options: RequestOptions, arm: Arm | None) -> str | None:
    """What the trace calls the arm: a request that switches parts off itself is in none."""
    if arm is not None:
        return arm
    whole = options.speculation == "auto" and options.share_prefix and options.verify == "auto"
    return "accelerated" if whole else None


def _biases(given: dict[str, float]) -> tuple[tuple[int, float], ...]:
    pairs = []
    for token, bias in given.items():
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise ApiError(400, f"logit_bias: {token!r} is no token id.", param="logit_bias")
        pairs.append((int(token), bias))
    return tuple(sorted(pairs))
