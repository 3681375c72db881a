"""Templates that leave the conversation by names put together at run time, in each place they may lie."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.ordinary import chat

USUAL = """{%- macro call(tool) -%}
{{- '<tool_call>\\n' + tool.function | tojson(indent=2) + '\\n</tool_call>' -}}
{%- endmacro -%}
{%- set ns = namespace(last='user', count=0) -%}
{%- if not date is defined -%}{%- set date = strftime_now('%d %b %Y') -%}{%- endif -%}
{%- if messages[0].role == 'system' -%}
{{- '<|im_start|>system\\n' + messages[0].content | trim + '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages if message.role != 'system' -%}
{%- set ns.count = ns.count + 1 -%}
{%- if message.role not in ['user', 'assistant', 'tool'] -%}{{ raise_exception('Unknown role') }}{%- endif -%}
{%- if message.get('tool_calls') -%}{%- for tool in message['tool_calls'] -%}{{ call(tool) }}{%- endfor -%}
{%- elif message.content is string -%}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content.split('</think>')[-1].lstrip('\\n') ~ '<|im_end|>\\n' -}}
{%- else -%}{%- for part in message.content -%}{{ '<image>' if part.type == 'image' else part.text }}{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
SANDBOX = "whoever renders without transformers' sandbox (llama-cpp-python before 0.2.72, own servers) runs code: "

CASES = [
    bad(
        "macro",
        SANDBOX + "a macro's globals",
        lambda: chat(
            {"chat_template.jinja": "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__.os.system('true') }}"}
        ),
    ),
    bad(
        "name-of-keywords",
        SANDBOX + "a name joined of the keywords of dict, read by attr",
        lambda: chat(
            {"additional_chat_templates/rag.jinja": "{% set a = dict(__cla=1, ss__=2)|join %}{{ messages | attr(a) }}"}
        ),
    ),
    bad(
        "attribute-of-a-filter",
        SANDBOX + "unique and sort take attributes by a text",
        lambda: chat(
            chat_template="{% for m in messages | unique(attribute='__class__.__base__') %}{{ m }}{% endfor %}"
        ),
    ),
    bad(
        "template-of-decisions",
        "transformers 5.23 reads decision_template.jinja; " + SANDBOX + "cycler's globals",
        lambda: chat(
            {"decision_template.jinja": "{{ cycler('a')['__in' ~ 'it__']['__glo' ~ 'bals__'] }}", "decision.json": {}}
        ),
    ),
    bad(
        "name-by-format",
        SANDBOX + "underscores by their number, in a list of templates",
        lambda: chat(
            chat_template=[
                {"name": "default", "template": USUAL},
                {
                    "name": "tool_use",
                    "template": "{% set u = '%c' | format(95) %}{{ messages | attr(u * 2 ~ 'class' ~ u * 2) }}",
                },
            ]
        ),
    ),
    twin("tools", "transformers, vLLM", lambda: chat({"chat_template.jinja": USUAL})),
]
