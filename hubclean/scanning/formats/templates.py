"""Chat templates, wherever they are kept: parsed by jinja2, never rendered."""

from __future__ import annotations

from collections.abc import Iterator

TEMPLATE_ADVICE = "render it nowhere; ask the author what it is for"
LONGEST_TEMPLATES = 256 << 10  # bytes of templates of one file that are parsed
_EXTENSIONS = ("jinja2.ext.loopcontrols", "jinja2.ext.do")


def template_faults(template: str) -> Iterator[str]:
    """What is wrong with a chat template, in words that follow "template"; it is parsed and never rendered."""
    # Imported here: most repos of image classifiers have no template, and the import takes 50 ms.
    import jinja2
    from jinja2 import nodes

    from hubclean.scanning.formats.templating.expressions import TooLong
    from hubclean.scanning.formats.templating.statements import Walk

    try:
        tree = jinja2.Environment(extensions=_EXTENSIONS).parse(_without_generation(template))
    except (jinja2.TemplateError, RecursionError) as error:
        yield f"does not parse: {str(error)[:120] or type(error).__name__}"
        return
    try:
        asked = (test.node for test in tree.find_all(nodes.Test) if test.name == "mapping")
        walk = Walk(frozenset(node.name for node in asked if isinstance(node, nodes.Name)))
        walk.template(tree)
    except RecursionError:
        yield "is nested too deep to be judged"
        return
    except TooLong:
        yield "is too long to be judged"
    yield from walk.faults


def _without_generation(template: str) -> str:
    """transformers' own tag, which marks what the model said and does nothing else."""
    for dash in ("", "-"):
        for end in ("", "-"):
            for word in ("generation", "endgeneration"):
                template = template.replace(f"{{%{dash} {word} {end}%}}", "")
    return template
