"""Templates once more."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import chat, diffusion, sentences

REACHES = (
    "without a sandbox (llama-cpp-python before 0.2.72, LLM servers) it reaches the classes of the process, and"
    " os.system"
)
FORMAT = "Jinja's sandbox before 3.1.5 / 3.1.6 (CVE-2024-56326, CVE-2025-27516): format of another object leaves it"
LOOP = "{%- for message in messages %}{{ '<|' + message.role + '|>' + message.content }}{%- endfor %}"
ESCAPE = "{{ joiner.__init__.__globals__.os.system('true') }}"


def _of(label: str, template: str, loader: str = REACHES) -> Case:
    return bad(label, loader, lambda: chat(None, chat_template=LOOP + template))


CASES: tuple[Case, ...] = (
    _of("octal", "{{ messages|attr('\\137\\137class\\137\\137') }}"),
    _of("unicode-escapes", "{{ messages['\\u005f\\u005fclass\\u005f\\u005f'] }}"),
    _of("lower-case", "{{ messages|attr('__CLASS__'|lower) }}"),
    _of("key-of-a-dict", "{{ messages|attr(dict(__class__=1)|first) }}"),
    _of("keys-joined", "{{ messages|attr(dict(__cla=1, ss__=1)|join) }}"),
    _of("letters-of-another-text", "{% set u = (lipsum|string)[18] %}{{ messages|attr(u ~ u ~ 'class' ~ u ~ u) }}"),
    _of("trimmed", "{{ messages|attr('  __class__ '|trim) }}"),
    _of("percent-operator", "{{ messages|attr('%sclass%s' % ('__', '__')) }}"),
    _of("repeated", "{{ messages|attr('_' * 2 ~ 'class' ~ '_' * 2) }}"),
    _of("by-set-block", "{% set a %}__class__{% endset %}{{ messages|attr(a) }}"),
    _of("by-a-macro", "{% macro a() %}__class__{% endmacro %}{{ messages|attr(a()) }}"),
    _of("by-a-namespace", "{% set ns = namespace(a='__class__') %}{{ messages|attr(ns.a) }}"),
    _of("by-with", "{% with a = '__class__' %}{{ messages|attr(a) }}{% endwith %}"),
    _of("loop-over-names", "{% for a in ['__class__', '__base__'] %}{{ messages|attr(a) }}{% endfor %}"),
    _of("map-of-attr", "{{ [messages]|map('attr', '__class__')|list }}"),
    _of("reject-attribute", "{{ [messages]|rejectattr('__class__.__name__', 'equalto', 'x')|list }}"),
    _of("smallest-by-attribute", "{{ [messages, messages]|min(attribute='__class__.__name__') }}"),
    _of("unique-by-attribute", "{{ [messages]|unique(attribute='__class__')|list }}"),
    _of("of-a-namespace", "{{ namespace.__init__.__globals__ }}"),
    _of("of-range", "{{ range.__class__.__base__.__subclasses__() }}"),
    _of("of-the-clock", "{{ strftime_now.__globals__ }}"),
    _of("of-a-caller", "{% macro m() %}{{ caller.__init__ }}{% endmacro %}{% call m() %}x{% endcall %}"),
    _of("of-a-filter-result", "{{ (messages|list).__class__ }}"),
    _of("bound-method", "{{ messages.append.__self__.__class__ }}"),
    _of("changed-of-the-loop", "{% for x in [1] %}{{ loop.changed.__self__ }}{% endfor %}"),
    _of("keyword-format", "{{ '{a.__class__.__mro__}'.format(a=messages) }}", FORMAT),
    _of("format-by-subscript", "{{ '{0.__class__}'['format'](messages) }}", FORMAT),
    _of("format-by-attr", "{{ ('{0.__class__}'|attr('for' ~ 'mat'))(messages) }}", FORMAT),
    _of("in-an-else", "{% for x in [] %}{% else %}{{ messages.__class__ }}{% endfor %}"),
    _of("in-a-filter-of-a-loop", "{% for x in messages if x.__class__ %}{% endfor %}"),
    _of("in-the-generation-block", "{% generation %}{{ messages.__class__ }}{% endgeneration %}"),
    bad(
        "in-a-pipeline",
        REACHES,
        lambda: diffusion(
            {"tokenizer/tokenizer_config.json": {"tokenizer_class": "CLIPTokenizer", "chat_template": ESCAPE}}
        ),
    ),
    bad("in-a-sentence-model", REACHES, lambda: sentences({"chat_template.jinja": ESCAPE})),
    bad(
        "in-the-checkpoint-folder",
        REACHES,
        lambda: chat({"checkpoint-500/tokenizer_config.json": {"chat_template": ESCAPE}}),
    ),
    # twins
    twin(
        "system-first",
        "transformers",
        lambda: chat(
            None,
            chat_template=(
                "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% else %}{% set"
                " loop_messages = messages %}{% endif %}{% for message in loop_messages %}{% if (message['role'] =="
                " 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{"
                " message['content'] | trim }}{% endfor %}{% if add_generation_prompt %}{{ '<start>' }}{% endif %}"
            ),
        ),
    ),
    twin(
        "tool-calls",
        "transformers",
        lambda: chat(
            None,
            chat_template=(
                "{%- for message in messages %}{%- if message.tool_calls %}{%- for tool_call in message.tool_calls"
                " %}{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}{{-"
                " tool_call.name }}{{- tool_call.arguments | tojson }}{%- endfor %}{%- endif %}{%- endfor %}"
            ),
        ),
    ),
    twin(
        "content-parts",
        "transformers",
        lambda: chat(
            None,
            chat_template=(
                "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}{%"
                " for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content"
                " %}<|image|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{%"
                " endfor %}"
            ),
        ),
    ),
    twin(
        "json-of-dicts",
        "transformers",
        lambda: chat(
            None,
            chat_template="{% for t in tools or [] %}{{ t | tojson }}{% if t.get('strict') %}!{% endif %}{% endfor %}"
            + LOOP,
        ),
    ),
    twin(
        "percent-and-join",
        "transformers",
        lambda: chat(None, chat_template="{{ ', '.join(['a', 'b']) }}{{ 'x' * 3 }}" + LOOP),
    ),
    twin(
        "generation-block",
        "transformers",
        lambda: chat(
            None,
            chat_template=(
                "{% for m in messages %}{% if m.role == 'assistant' %}"
                "{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}"
            ),
        ),
    ),
    twin(
        "dictionary-walk",
        "transformers",
        lambda: chat(
            None,
            chat_template=(
                "{% for k, v in (documents or [{}])[0].items() %}{{ k }}: {{ v }}{% endfor %}{% set d = {'user': 'U',"
                " 'assistant': 'A'} %}{% for m in messages %}{{ d[m['role']] }}{% endfor %}"
            ),
        ),
    ),
)
