"""Jinja templates of chats: names put together when rendered, filters that read attributes, every place they lie in."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import Case, Files, bad, twin
from benchmarks.scan.hostile.ordinary import chat

PLAIN = "rendered without a sandbox (llama-cpp-python before 0.2.72, LLM servers with jinja2.Environment): os.system"
REACHES = "without a sandbox it reaches the classes of the process, and from there os.system"
FORMAT = "Jinja's sandbox before 3.1.5 / 3.1.6 (CVE-2024-56326, CVE-2025-27516): format of another object leaves it"
RUN = ".__init__.__globals__.os.system('true')"
LOOP = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"


def _of(label: str, template: str, loader: str = REACHES) -> Case:
    """In chat_template.jinja, behind an ordinary loop."""
    return bad(label, loader, lambda: chat({"chat_template.jinja": LOOP + template}))


def _at(label: str, files: Files, **tokenizer: Any) -> Case:
    """The plain escape in another place."""
    return bad(label, PLAIN, lambda: chat(dict(files), **tokenizer))


ESCAPE = "{{ cycler" + RUN + " }}"
CASES: tuple[Case, ...] = (
    _at("jinja-file", {"chat_template.jinja": LOOP + ESCAPE}),
    _at("tokenizer-config", {}, chat_template=LOOP + ESCAPE),
    _at(
        "named-templates",
        {},
        chat_template=[{"name": "default", "template": LOOP}, {"name": "rag", "template": ESCAPE}],
    ),
    _at("additional-folder", {"additional_chat_templates/rag.jinja": ESCAPE}),
    _at("legacy-processor-file", {"chat_template.json": {"chat_template": ESCAPE}}),
    _at("processor-config", {"processor_config.json": {"processor_class": "LlavaProcessor", "chat_template": ESCAPE}}),
    _at("in-a-subfolder", {"processor/chat_template.jinja": ESCAPE}),
    _of("joined-by-tilde", "{{ messages|attr('__cla' ~ 'ss__') }}"),
    _of("joined-by-plus", "{{ messages['__cla' + 'ss__']['__base__'] }}"),
    _of("hexadecimal", "{{ messages|attr('\\x5f\\x5fclass\\x5f\\x5f') }}"),
    _of("by-format", "{{ messages|attr('%c%cclass%c%c'|format(95, 95, 95, 95)) }}"),
    _of("by-replace", "{{ messages|attr('--class--'|replace('-', '_')) }}"),
    _of("by-reverse", "{{ messages|attr('__ssalc__'|reverse) }}"),
    _of("by-join", "{{ messages|attr(['__', 'class', '__']|join) }}"),
    _of("by-slice", "{{ messages|attr('x__class__x'[1:-1]) }}"),
    _of("by-a-variable", "{% set a = '__class__' %}{{ messages|attr(a) }}"),
    _of("by-what-the-message-says", "{{ messages|attr(messages[0]['content']) }}"),
    _of("map-attribute", "{{ [messages]|map(attribute='__class__')|list }}"),
    _of("map-attribute-dotted", "{{ messages|map(attribute='content.__class__.__mro__')|list }}"),
    _of("sort-attribute", "{{ [messages, messages]|sort(attribute='__class__.__name__') }}"),
    _of("group-attribute", "{{ messages|groupby('__class__') }}"),
    _of("select-attribute", "{{ messages|selectattr('__class__')|list }}"),
    _of("sum-attribute", "{{ messages|sum(attribute='__len__') }}"),
    _of("of-a-function", "{{ raise_exception.__globals__ }}"),
    _of("of-a-macro", "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}"),
    _of("of-the-loop", "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}"),
    _of("of-the-template", "{{ self.__init__.__globals__ }}"),
    _of("of-something-undefined", "{{ nothing_here.__init__.__globals__ }}"),
    _of("lipsum", "{{ lipsum['__globals__']['os'].system('true') }}", PLAIN),
    _of("in-a-filter-block", "{% filter attr('__class__') %}x{% endfilter %}"),
    _of("format-of-a-text", "{{ '{0.__class__.__mro__}'.format(messages) }}", FORMAT),
    _of("format-kept-in-a-variable", "{% set f = '{0.__class__}'.format %}{{ f(messages) }}", FORMAT),
    _of("format-map-through-map", "{{ ['{0.__class__}']|map('attr', 'format')|list }}", FORMAT),
    _of("frames-of-a-generator", "{{ (messages|map('upper')).gi_frame.f_builtins }}", REACHES),
    _of("as-default-of-a-macro", "{% macro m(x=messages.__class__) %}{{ x }}{% endmacro %}{{ m() }}"),
    _of("in-a-slice", "{{ 'abc'[:messages.__class__] }}"),
    _of("in-a-test", "{% if messages.__class__ is defined %}x{% endif %}"),
    # twins
    twin("loop", "transformers", lambda: chat({"chat_template.jinja": LOOP})),
    twin(
        "tools",
        "transformers",
        lambda: chat(
            {
                "chat_template.jinja": (
                    "{%- if tools %}{%- for tool in tools %}{{ tool | tojson(indent=4) }}{%- endfor %}{%- endif %}{%-"
                    " set ns = namespace(last=0) %}{%- for m in messages[::-1] %}{%- set ns.last = loop.index0 %}{%-"
                    " endfor %}" + LOOP
                )
            }
        ),
    ),
    twin(
        "images",
        "transformers",
        lambda: chat(
            {
                "chat_template.json": {
                    "chat_template": (
                        "{% for message in messages %}{% for content in "
                        "message['content'] | selectattr('type', 'equalto', 'image') %}<image>{% endfor %}{% endfor %}"
                    )
                }
            }
        ),
    ),
    twin(
        "thinking",
        "transformers",
        lambda: chat(
            {
                "chat_template.jinja": (
                    "{%- if '</think>' in messages[-1].content %}{%- set r ="
                    " messages[-1].content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{{ r"
                    " }}{%- endif %}"
                )
            }
        ),
    ),
    twin(
        "raises",
        "transformers",
        lambda: chat(
            chat_template=(
                "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ bos_token }}"
            )
            + LOOP
        ),
    ),
    twin("today", "transformers", lambda: chat({"chat_template.jinja": "{{ strftime_now('%d %b %Y') }}" + LOOP})),
    twin(
        "named",
        "transformers",
        lambda: chat(chat_template=[{"name": "default", "template": LOOP}, {"name": "rag", "template": LOOP}]),
    ),
    twin(
        "macros",
        "transformers",
        lambda: chat(
            {
                "chat_template.jinja": (
                    "{% macro arg(p) %}{% for k, v in p.items() %}{{ k ~ '=' ~ v }}{% endfor %}{% endmacro %}{% for t"
                    " in tools or [] %}{{ arg(t.function.parameters.properties) }}{% endfor %}" + LOOP
                )
            }
        ),
    ),
    twin(
        "words-with-underscores",
        "transformers",
        lambda: chat({"chat_template.jinja": "{{ '__start__' }}" + LOOP + "{{ '__end__' }}"}),
    ),
)
