"""Chat templates: those of real models pass, what reaches into Python is found however its names are put together."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from jinja2 import ChainableUndefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hubclean.scanning.formats.templates import template_faults

REAL = sorted((Path(__file__).parents[1] / "fixtures" / "chat_templates").glob("*.jinja"))
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hello __class__", "tool_calls": [], "kind": "class"},
    {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
]
TOKENS = {
    "bos_token": "__class__",
    "additional_special_tokens": ["_class_"],
    "raise_exception": lambda text: None,
}
# Names that are put together while the template is rendered, and what they are read from.
REACHING = """
{{ ''[('_' * 2) ~ 'class' ~ ('_' * 2)] }}
{{ ''[['_', '_', 'cl', 'ass', '_', '_'] | join] }}
{{ messages['%sclass%s' | format('_' * 2, '_' * 2)] }}
{{ messages['%sclass%s' % ('_' * 2, '_' * 2)] }}
{{ messages['%c%cclass%c%c' | format(95, 95, 95, 95)] }}
{{ messages['{0}{0}class{0}{0}'.format('_')] }}
{{ messages['xxclassxx'.replace('x', '_')] }}
{{ messages['xxclassxx' | replace('x', '_')] }}
{{ messages['__ssalc__'[::-1]] }}
{{ messages['__ssalc__' | reverse] }}
{{ messages['__CLASS__'.lower()] }}
{{ messages['__CLASS__' | lower] }}
{{ messages['  __class__  ' | trim] }}
{{ messages['-__class__'[1:]] }}
{{ messages['-__class__'.lstrip('-')] }}
{{ messages['-__class__'.removeprefix('-')] }}
{{ messages['a,__class__'.split(',')[1]] }}
{{ messages['a,__class__'.split(',') | last] }}
{{ messages['a__class__'.partition('a')[2]] }}
{{ messages['tool_calls'[4] * 2 ~ 'class' ~ 'tool_calls'[4] * 2] }}
{% set u = 'tool_calls'[4] %}{% set n = u ~ u ~ 'class' ~ u ~ u %}{{ messages[n] }}
{% set u = (messages[0] | list)[2][4] %}{{ messages[u ~ u ~ 'class' ~ u ~ u] }}
{% set n = namespace(k='') %}{% for i in [1, 2] %}{% set n.k = n.k ~ '_' %}{% endfor %}{{ n[n.k ~ 'class' ~ n.k] }}
{% set u = (messages | string)[36] %}{{ messages[u * 2 ~ 'class' ~ u * 2] }}
{% set names = {'a': '_' * 2 ~ 'class' ~ '_' * 2} %}{{ messages[names['a']] }}
{% set names = {'a': '_' * 2 ~ 'class' ~ '_' * 2} %}{{ messages[names.a] }}
{% set names = {'a': '_' * 2 ~ 'class' ~ '_' * 2} %}{% for k, v in names.items() %}{{ messages[v] }}{% endfor %}
{% set names = {('_' * 2 ~ 'class' ~ '_' * 2): 1} %}{% for k in names %}{{ messages[k] }}{% endfor %}
{% set names = dict(x='_' * 2 ~ 'class' ~ '_' * 2) %}{{ messages[[names] | map(attribute='x') | first] }}
{% macro m(k) %}{{ messages[k] }}{% endmacro %}{{ m('_' * 2 ~ 'class' ~ '_' * 2) }}
{% macro m(k='_' * 2 ~ 'class' ~ '_' * 2) %}{{ messages[k] }}{% endmacro %}{{ m() }}
{% macro m() %}{{ messages[kwargs['k']] }}{% endmacro %}{{ m(k='_' * 2 ~ 'class' ~ '_' * 2) }}
{% macro m() %}{{ messages[varargs[0]] }}{% endmacro %}{{ m('_' * 2 ~ 'class' ~ '_' * 2) }}
{% macro m() %}_{{ '_class_' }}_{% endmacro %}{{ messages[m() | string] }}
{% macro m() %}{{ caller('_' * 2 ~ 'class' ~ '_' * 2) }}{% endmacro %}{% call(k) m() %}{{ messages[k] }}{% endcall %}
{% set k %}_{{ '_class_' }}_{% endset %}{{ messages[k | string] }}
{% set k | replace('x', '_') %}xxclassxx{% endset %}{{ messages[k | string] }}
{% with k = '_' * 2 ~ 'class' ~ '_' * 2 %}{{ messages[k] }}{% endwith %}
{% for k in ['_' * 2 ~ 'class' ~ '_' * 2] %}{{ messages[k] }}{% endfor %}
{% for k in [['_' * 2 ~ 'class__']] recursive %}{{ messages[k] if k is string else loop(k) }}{% endfor %}
{% set c = cycler('_' * 2 ~ 'class' ~ '_' * 2) %}{{ messages[c.next()] }}
{% set c = cycler('_' * 2 ~ 'class' ~ '_' * 2) %}{{ messages[c.current] }}
{% set j = joiner('_' * 2 ~ 'class' ~ '_' * 2) %}{% set _ = j() %}{{ messages[j()] }}
{{ messages | map(attribute='_' * 2 ~ 'class' ~ '_' * 2) | list }}
{{ messages | map(attribute='role._' ~ '_class_' ~ '_') | list }}
{{ messages | sum(attribute='_' * 2 ~ 'class' ~ '_' * 2) }}
{{ messages | selectattr('_' * 2 ~ 'class' ~ '_' * 2) | list }}
{{ messages | rejectattr('_' * 2 ~ 'class' ~ '_' * 2) | list }}
{{ messages | groupby('_' * 2 ~ 'class' ~ '_' * 2) }}
{{ messages | sort(attribute='_' * 2 ~ 'class' ~ '_' * 2) }}
{{ messages | unique(attribute='_' * 2 ~ 'class' ~ '_' * 2) | list }}
{{ messages | max(attribute='_' * 2 ~ 'class' ~ '_' * 2) }}
{{ messages | map('attr', '_' * 2 ~ 'class' ~ '_' * 2) | list }}
{{ messages | map('at' ~ 'tr', '_' * 2 ~ 'class' ~ '_' * 2) | list }}
{{ [messages] | map('map', attribute='_' * 2 ~ 'class' ~ '_' * 2) | map('list') | list }}
{{ messages | attr('_' * 2 ~ 'class' ~ '_' * 2) }}
{{ messages[(dict(__class__=1) | list)[0]] }}
{{ messages[namespace | string | list | first | replace('<', '__class__')] }}
{{ messages[true and '_' * 2 ~ 'class' ~ '_' * 2] }}
{{ messages['a' if false else '_' * 2 ~ 'class' ~ '_' * 2] }}
{{ messages[nothing or '_' * 2 ~ 'class' ~ '_' * 2] }}
{{ messages[nothing | default('_' * 2 ~ 'class' ~ '_' * 2)] }}
{{ messages[(messages[0].nothing | string) ~ '_' ~ '_class_' ~ '_'] }}
{{ ((messages | select) | list | string)['_' ~ '_class_' ~ '_'] }}
{{ (messages | select)['gi_' ~ 'frame'] }}
{{ cycler['_' ~ '_init_' ~ '_'] }}
{{ cycler[messages[0].content.split(' ')[1]] }}
{{ messages[messages[0].content[6:8] ~ messages[0].kind ~ messages[0].content[6:8]] }}
{{ '{0.__class__}'.format(messages) }}
{{ ('{0._' ~ '_class_' ~ '_}').format(messages) }}
{{ messages[0]['content'].__class__ }}
{{ loop.__class__ if false else messages.__class__ }}
{{ messages['\\x5f\\x5fclass\\x5f\\x5f'] }}
{{ messages['\\137\\137class\\137\\137'] }}
{{ messages['\\u005f_class_\\u005f'] }}
{{ messages[bos_token] }}
{{ messages['_' ~ additional_special_tokens[0] ~ '_'] }}
{% filter attr('x' | replace('x', '__class__')) %}a{% endfilter %}
{{ namespace().__class__ }}
{{ range.__class__ }}
{{ raise_exception.__globals__ }}
""".strip().splitlines()
# What calls, loads or reads something that no conversation holds.
CALLING = """
{{ os.popen('id').read() }}
{{ os.environ.get('HF_TOKEN') }}
{{ os.environ.items() | list }}
{{ sys.modules.get('os').system('id') }}
{{ request.args.get('x') }}
{{ config.items() }}
{{ requests.get('http://x') }}
{{ (requests).get('http://x') }}
{{ messages[0]['run']() }}
{{ messages[0].run() }}
{{ (messages | first)() }}
{{ lipsum() }}
{% set range = messages[0] %}{{ range() }}
{% set f = messages.append %}{{ f(1) }}
{{ lipsum.get('x') }}
{{ self.x() }}
{{ self['x'] }}
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{{ messages | xmlattr }}
{{ messages | map(messages[0].kind) | list }}
{{ '%s'.format_map(messages[0]) }}
{% set ns = namespace() %}{% set ns.__class__ = 1 %}
{{ __builtins__ }}
{{ open('/etc/passwd').read() }}
{{ __import__('os') }}
{{ [].append.im_func }}
{{ url_for.get('x') }}
{{ exec('1') }}
""".strip().splitlines()


class Recorder(ImmutableSandboxedEnvironment):
    """The sandbox in which transformers renders, keeping what it refused."""

    def __init__(self) -> None:
        super().__init__(undefined=ChainableUndefined)
        self.refused: list[str] = []

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        safe = super().is_safe_attribute(obj, attr, value)
        if not safe:
            self.refused.append(attr)
        return safe


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_the_templates_of_real_models_pass(path: Path) -> None:
    assert list(template_faults(path.read_text("utf-8"))) == []


def test_there_are_templates_of_many_families() -> None:
    assert len(REAL) >= 25


@pytest.mark.parametrize("template", REACHING)
def test_what_reaches_into_python_is_found(template: str) -> None:
    sandbox = Recorder()
    with contextlib.suppress(SecurityError, TypeError):
        sandbox.from_string(template).render(messages=MESSAGES, **TOKENS)
    assert sandbox.refused, "the template is of no use as an example: nothing was refused"
    assert list(template_faults(template)) != []


@pytest.mark.parametrize("template", CALLING)
def test_what_calls_or_loads_is_found(template: str) -> None:
    assert list(template_faults(template)) != []


PLAIN = """
{{ messages[loop.index0 - 1]['role'] }}{{ messages[-1] }}{{ messages[1:][0].content[0]['text'] }}
{% for key in message %}{{ message[key] }}{% endfor %}{% for k, v in message | dictsort %}{{ message[k] }}{% endfor %}
{{ roles['tool_' ~ message['role'] | lower] }}{{ names[message.name.strip()] }}{{ names[message.role | title] }}
{% set m = {'user': 'A', 'assistant': 'B'} %}{{ m[message.role] }}{{ m.get(message.role, 'C') }}{{ n[m[message.role]] }}
{{ "print('__init__ and __main__ are names')" }}{{ '__media__ ' ~ image }}{{ '<__start__>' }}
{{ '%s: %d' | format(message.role, 3) }}{{ '{}: {:>3}'.format(message.role, 3) }}{{ 'a %s' % message.role }}
{{ message.content | map(attribute='text') | join('') }}{{ messages | map('length') | sum }}
{{ tools | map('tojson') | list }}
{% set x = namespace(out='') %}{% for m in messages %}{% set x.out = x.out ~ m.content %}{% endfor %}{{ x.out[:10] }}
{{ chat_template_kwargs.get('enable_thinking') }}{{ message.get('tool_calls', []) | length }}
{{ tools[0].items() | list }}{{ tools.x.values() }}
{% if extra is mapping %}{{ extra.get('x') }}{{ extra.items() }}{% endif %}{{ document['title'] ~ '_' ~ loop.index }}
{% set l = [] %}{% set _ = l.append(message.role) %}{% do l.append('a') %}{{ l | join }}{{ messages[l | length] }}
{{ (messages | selectattr('role', 'equalto', 'user') | list | last).content }}{{ ['a', 'b'][loop.index0 % 2] }}
{% set part = content.split('<x>') %}{{ part[0] }}{{ part[part | length - 1].rstrip() }}{{ message['content_' + lang] }}
{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}{{ a(x.items) if x.items }}{% endmacro %}{{ a(tools[0]) }}
{{ messages[(messages | length // 2) - 1] }}{{ messages[0 if a else 1] }}{{ texts[loop.index | string] }}{{ x[true] }}
""".strip().splitlines()


@pytest.mark.parametrize("template", PLAIN)
def test_plain_uses_pass(template: str) -> None:
    assert list(template_faults(template)) == []


def test_a_template_that_is_long_or_deep_is_judged_in_bounded_steps() -> None:
    deep = "{% for a in b %}" * 60 + "{{ a.c }}" + "{% endfor %}" * 60
    assert list(template_faults(deep)) == []
    assert list(template_faults("{{ a.b }}" * 20_000)) == []
    assert list(template_faults("{{ a[" + "b[" * 3000 + "1" + "]" * 3000 + "] }}")) != []
    grows = "{% set ns = namespace(a='x') %}" + "{% for i in y %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ z[ns.a] }}"
    assert list(template_faults(grows)) == []
