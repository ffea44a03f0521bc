"""Tokenizers for the models room: byte-level, SentencePiece-style, and other templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tools.templates import HERMES

# Trims contents, as Llama 3's template does, and leaves reasoning out, as Qwen3's does.
TRIMMING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
    " + (message['content'].split('</think>') | last | trim) + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# White space around the assistant's text, as Llama 2's template has, and only two roles.
BRACKETS = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + ' </s>' }}{% else %}"
    "{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="session")
def byte_level(tiny_target_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_target_dir)


@pytest.fixture(scope="session")
def trimming(tiny_target_dir: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_target_dir)
    tokenizer.chat_template = TRIMMING
    return tokenizer


@pytest.fixture(scope="session")
def sentencepiece() -> Any:
    """A BPE vocabulary as SentencePiece writes it: ``▁`` for spaces, single bytes as fallback."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = "▁abcdefghijklmnopqrstuvwxyz[]/ISNT.,!?"
    merges = [("▁", "a"), ("t", "h"), ("th", "e"), ("▁", "the"), ("i", "n"), ("▁", "in")]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), *letters]
    names += ["".join(pair) for pair in merges]
    vocab = {name: index for index, name in enumerate(names)}
    raw = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    raw.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=BRACKETS,
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="session")
def tiny_gguf(tiny_target_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama as a GGUF file with float32 tensors, as llama.cpp's converter writes it."""
    return write_gguf(tiny_target_dir, tmp_path_factory.mktemp("gguf") / "tiny-f32.gguf")


def write_gguf(folder: Path, out: Path) -> Path:
    import gguf
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, folder)
    _add_tensors(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _add_tokenizer(writer: Any, folder: Path) -> None:
    import json

    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = told["model"]["vocab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(sorted(vocab, key=vocab.get))
    writer.add_token_types([3 if index < 3 else 1 for index in range(len(vocab))])
    writer.add_token_merges([" ".join(pair) for pair in told["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    named = {"default": template, "tool_use": HERMES}
    writer.add_chat_template([{"name": name, "template": named[name]} for name in named])


def _add_tensors(writer: Any, model: Any) -> None:
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k"}
    names |= {"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    names |= {f"mlp.{part}_proj": f"ffn_{part}" for part in ("gate", "up", "down")}
    plain = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    for key, value in model.state_dict().items():
        weight = value.float().numpy()
        stem = key.removesuffix(".weight")
        if stem in plain:
            writer.add_tensor(f"{plain[stem]}.weight", weight)
            continue
        layer, _, part = stem.removeprefix("model.layers.").partition(".")
        name = names[part]
        if name in heads:  # llama.cpp pairs a head's dimensions in another order
            rows, columns = weight.shape
            split = weight.reshape(heads[name], 2, rows // heads[name] // 2, columns)
            weight = split.swapaxes(1, 2).reshape(rows, columns).copy()
        writer.add_tensor(f"blk.{layer}.{name}.weight", weight)
