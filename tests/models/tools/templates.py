"""Small chat templates of the kinds that models with tools have."""

from __future__ import annotations

HERMES = """\
{% if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Calls: <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}{% for call in m.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}"""

# Opens the reasoning in the prompt and leaves it out of what was said before.
OPENED = """\
{% if tools %}{{ tools | tojson }}{% endif %}\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ (m.content.split('</think>') | last) }}{% for call in m.tool_calls or [] %}\
[TOOL_CALLS][{"name": "{{ call.function.name }}", "arguments": \
{{ call.function.arguments | tojson }}}]{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""

PLAIN_ROLES = """\
{% for m in messages %}{% if m.role not in ('system', 'user', 'assistant') %}\
{{ raise_exception('unknown role') }}{% endif %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
