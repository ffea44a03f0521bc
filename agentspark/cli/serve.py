"""``agentspark serve``: the OpenAI-compatible server."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.console import say, working
from agentspark.cli.extras import require
from agentspark.cli.options import (
    Device,
    Drafter,
    DtypeOption,
    Exact,
    Precision,
    Switch,
    drafter_name,
    engine_config,
)
from agentspark.errors import ConfigError

if TYPE_CHECKING:
    from agentspark.config import EngineConfig
    from agentspark.engine.engine import Engine
    from openai_dspark.server.app import ServerApp
    from openai_dspark.server.settings import ServerSettings


Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")]
Name = Annotated[str | None, typer.Option(help="The model's name for clients; its own by default.")]
Trace = Annotated[Path | None, typer.Option(help="File that gets one JSON line per call.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Keys, one a line; also AGENTSPARK_API_KEY, AGENTSPARK_API_KEYS."),
]
NoKey = Annotated[bool, typer.Option("--insecure-no-key", help="Let anybody in, anywhere.")]
Hosts = Annotated[
    list[str] | None, typer.Option(help="A further name that clients may use for this server.")
]
Origins = Annotated[list[str] | None, typer.Option(help="An origin whose web pages may call.")]
Running = Annotated[int, typer.Option(min=1, help="Sequences computed at once.")]
Waiting = Annotated[int, typer.Option(min=0, help="Sequences that may wait.")]
KvTokens = Annotated[int | None, typer.Option(min=1, help="Tokens that the KV pool holds.")]
Timeout = Annotated[float, typer.Option(help="Seconds an answer may take.")]
Drain = Annotated[float, typer.Option(help="Seconds to finish requests when stopped.")]
Body = Annotated[float, typer.Option(help="Largest body of a request, in MiB.")]
Temperature = Annotated[
    float, typer.Option(help="For requests that give none; the API's default is 1.")
]
MaxTokens = Annotated[int, typer.Option(min=1, help="For chats that give none.")]
LogFormat = Annotated[str, typer.Option(help="json or text.")]
LeaveOut = Annotated[
    bool,
    typer.Option(
        "--leave-out-tools",
        help="Leave out tools that cannot be offered here (web_search and the like): no error.",
    ),
]
Detailed = Annotated[
    bool,
    typer.Option(
        "--detailed-metrics",
        help="Also tell what every single pass of an answer verified and kept.",
    ),
]
LogTexts = Annotated[bool, typer.Option("--log-texts", help="Also log prompts and answers.")]


def serve(
    model: Annotated[
        str, typer.Argument(help="Target: smollm2, a hub id, a folder or a GGUF file.")
    ] = "smollm2",
    drafter: Drafter = "auto",
    host: Host = "127.0.0.1",
    port: Port = 8000,
    name: Name = None,
    trace: Trace = None,
    api_key_file: KeyFile = None,
    insecure_no_key: NoKey = False,
    allowed_host: Hosts = None,
    cors_origin: Origins = None,
    max_requests: Running = 32,
    queue_limit: Waiting = 64,
    kv_tokens: KvTokens = None,
    request_timeout: Timeout = 600.0,
    drain: Drain = 30.0,
    max_body_mib: Body = 8.0,
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = 2048,
    leave_out_tools: LeaveOut = False,
    detailed_metrics: Detailed = False,
    exact: Exact = Switch.ON,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
    log_format: LogFormat = "text",
    log_texts: LogTexts = False,
) -> None:
    """Serve a model to any OpenAI client until Ctrl-C."""
    if log_format not in ("json", "text"):
        raise typer.BadParameter(f"--log-format {log_format!r} is none of: json, text")
    require("server", "fastapi", "prometheus_client", "uvicorn")
    from openai_dspark.server.auth import read_keys
    from openai_dspark.server.settings import ServerSettings

    settings = ServerSettings(
        served_name=name,
        host=host,
        port=port,
        api_keys=read_keys(api_key_file),
        insecure_no_key=insecure_no_key,
        allowed_hosts=tuple(allowed_host or ()),
        cors_origins=tuple(cors_origin or ()),
        queue_limit=queue_limit,
        max_body_bytes=_bytes(max_body_mib),
        request_timeout_s=request_timeout,
        drain_s=drain,
        default_temperature=temperature,
        default_max_tokens=max_tokens,
        log_texts=log_texts,
        leave_out_tools=leave_out_tools,
    )
    config = replace(
        engine_config(exact=exact, dtype=dtype, device=device),
        max_requests=max_requests,
        kv_tokens=kv_tokens,
        round_counts=detailed_metrics,
    )
    _run(settings, model, drafter_name(drafter), config, trace, as_json=log_format == "json")


def _bytes(mib: float) -> int:
    if not 0 < mib < math.inf:
        raise ConfigError(f"--max-body-mib {mib:g} cannot be used: give a number above 0.")
    return int(mib * 2**20)


def _run(
    settings: ServerSettings,
    model: str,
    drafter: str | None,
    config: EngineConfig,
    trace: Path | None,
    *,
    as_json: bool,
) -> None:
    from agentspark.engine.engine import Engine
    from openai_dspark.server.app import ServerApp
    from openai_dspark.server.logs import log_to_stderr
    from openai_dspark.server.process import bind
    from openai_dspark.server.process import serve as serve_app

    with bind(settings) as bound:
        with working(f"Loading {model}"):
            engine = Engine.load(model, drafter=drafter, config=config, trace=trace)
        with engine:
            app = ServerApp(engine, settings)
            say(_plan(engine))
            port = bound.getsockname()[1]
            log_to_stderr(as_json=as_json)
            serve_app(app, bound, lambda: say(_ready(app, port)))
    say("Stopped.")


def _plan(engine: Engine) -> str:
    """What was chosen: where and how the model runs, what drafts, what schedules."""
    stats, spec = engine.stats(), engine.target.spec
    tokens = stats.total_blocks * stats.block_tokens
    exact = "exact" if engine.exact else "not exact"
    drafter = engine.drafter
    drafts = "copies only (no drafter for this model)"
    if drafter is not None:
        drafts = f"{drafter.name}, blocks of {drafter.block_size}, and copies"
    lines = {
        "model": f"{engine.target.name}, context {engine.max_context} tokens",
        "device": f"{spec.device}, {engine.dtype}, {exact}",
        "memory": f"{stats.kv_bytes_total / 2**20:.0f} MiB of KV: {stats.total_blocks} blocks of "
        f"{stats.block_tokens}, {tokens} tokens",
        "drafts": drafts,
        "scheduler": f"a row takes {engine.round_seconds(1) * 1e3:.0f} ms, 8 rows "
        f"{engine.round_seconds(8) * 1e3:.0f} ms, 64 rows {engine.round_seconds(64) * 1e3:.0f} ms; "
        f"at most {engine.config.max_requests} sequences at once",
    }
    return "\n".join(f"{name:<10} {text}" for name, text in lines.items())


def _ready(app: ServerApp, port: int) -> str:
    settings, name = app.service.settings, app.service.names.name
    host = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
    keys = f"{len(settings.api_keys)} API keys" if settings.api_keys else "no API key"
    return (
        f"Serving {name} at http://{host}:{port}/v1 ({keys}); {name}:baseline runs without "
        "acceleration. Ctrl-C stops."
    )
