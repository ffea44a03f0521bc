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

# Arguments are text; the reasoning is closed in what was said before, and opened on demand.
DEEPSEEK = """\
{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' %}</think>{% endif %}{{ m.content }}\
{% for call in m.tool_calls or [] %}\
{{ '<\uff5ctool▁calls▁begin\uff5c><\uff5ctool▁call▁begin\uff5c>' \
+ call.function.name + '<\uff5ctool▁sep\uff5c>' + call.function.arguments \
+ '<\uff5ctool▁call▁end\uff5c><\uff5ctool▁calls▁end\uff5c>' }}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if thinking is defined and thinking %}<think>{% else %}</think>{% endif %}{% endif %}"""

# Ids of calls have nine letters and digits, and roles take turns, calls and results left out, or
# the chat is refused.
MISTRAL = """\
{% set told = namespace(count=0) %}{% for m in messages if m.role != 'tool' and not m.tool_calls %}\
{% if (m.role == 'user') != (told.count % 2 == 0) %}{{ raise_exception('take turns') }}{% endif %}\
{% set told.count = told.count + 1 %}{% endfor %}\
{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}\
{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]\
{% elif m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}\
{{ raise_exception('nine, please') }}{% endif %}\
[TOOL_RESULTS]{{ m.tool_call_id }}: {{ m.content }}[/TOOL_RESULTS]\
{% elif m.tool_calls %}[TOOL_CALLS][{% for call in m.tool_calls %}\
{% if call.id | length != 9 %}{{ raise_exception('nine, please') }}{% endif %}\
{{ (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' }}\
{{ ', ' if not loop.last else '' }}{% endfor %}]<|im_end|>\
{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"""

# Knows a user and a model.
NO_SYSTEM = """\
{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# One of those that a model has beside its usual one: nothing without tools.
TOOLS_ONLY = "{% for tool in tools %}{{ tool | tojson }}{% endfor %}" + HERMES

_LAST_USER = """\
{% set told = namespace(user=-1) %}{% for m in messages %}{% if m.role == 'user' %}\
{% set told.user = loop.index0 %}{% endif %}{% endfor %}"""
_CALLS = """\
{% for call in m.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
"""

# Reasoning stands before every answer since the user's last message, empty or not, and before no
# other; the prompt opens it (Qwen 3.5's, for one).
OPENED_SINCE_USER = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    + _LAST_USER
    + """\
{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and loop.index0 > told.user %}<think>
{{ m.reasoning_content or '' }}
</think>

{% endif %}{{ m.content }}"""
    + _CALLS
    + """{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""
)

# The same where the model opens it, and an empty section stands before older answers (GLM 4.5's).
KEPT_SINCE_USER = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    + _LAST_USER
    + """\
{% for m in messages %}<|im_start|>{{ m.role }}{% if m.role == 'assistant' %}
<think>{% if loop.index0 > told.user %}{{ m.reasoning_content or '' }}{% endif %}</think>{% endif %}
{{ m.content }}"""
    + _CALLS
    + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
