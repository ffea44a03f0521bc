"""transformers' own ``generate`` in a process of its own.

Two OpenMP pools in one process wait for each other at every operation and slow both sides; a
process that only waits for its next prompt takes nothing from the other.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from agentspark.config import Dtype


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``generate`` wrote, and how long the call took by the process's own clock."""

    token_ids: list[int]
    seconds: float


class Reference:
    """The same weights as transformers loads them, answering one prompt at a time.

    A context manager: the process ends with it.
    """

    def __init__(self, folder: Path, *, dtype: Dtype, device: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, folder, dtype, device, threads), daemon=True
        )
        self._process.start()
        theirs.close()
        self.attention = str(self._receive())

    def generate(self, token_ids: Sequence[int], tokens: int) -> Answer:
        """Write exactly ``tokens`` tokens after ``token_ids``, greedily."""
        self._pipe.send((list(token_ids), tokens))
        return Answer(*self._receive())

    def _receive(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise RuntimeError(
                f"the process of the reference ended with {self._process.exitcode}; its own "
                "words are above."
            ) from error

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()


def _serve(pipe: Connection, folder: Path, dtype: Dtype, device: str, threads: int) -> None:
    """Answer what comes through ``pipe`` until its other end closes."""
    import time

    import torch
    from transformers import GenerationConfig

    from agentspark.engine.precision import DTYPES
    from agentspark.models import load_target

    torch.set_num_threads(threads)
    target = load_target(folder, dtype=DTYPES[dtype], device=device)
    model = target.model
    if dtype == "float16":
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.copy_(layer.weight.half())
    # Without end tokens both sides write exactly as many tokens as they are asked for.
    end = min(target.spec.eos_token_ids, default=0)
    model.generation_config = GenerationConfig(pad_token_id=end)
    pipe.send(str(model.config._attn_implementation))
    while True:
        try:
            token_ids, tokens = pipe.recv()
        except EOFError:
            return
        began = time.perf_counter()
        ids = torch.tensor([token_ids], device=model.device)
        with torch.inference_mode():
            output = model.generate(  # type: ignore[operator]
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
            )
        written = output[0, ids.shape[1] :].tolist()
        pipe.send((written, time.perf_counter() - began))
