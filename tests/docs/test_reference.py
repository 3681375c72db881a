"""The generated pages are what the code says, and nothing refers to a file that is not there."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from pathlib import Path

import pytest

import hubclean
from hubclean import errors, records
from hubclean.registry import KINDS, methods
from hubclean.scanning.rules import RULES
from tools import reference
from tools.rule_examples import EXAMPLES

ROOT = Path(__file__).parents[2]
# Names of files as they stand in prose and code, from the root of the repository.
PATHS = re.compile(
    r"(?<![\w./-])((?:docs|hubclean|tests|benchmarks|hooks|tools|model_cards|demo_images)/[\w./-]*"
    r"\w\.(?:md|py|toml|json|jsonl|png|sh|j2|txt))(#[\w-]+)?(?![\w*])"
)
BARE = re.compile(r"(?<![\w/.-])[a-z][\w-]*\.md\b(?!\.)")  # a page by its name alone: nobody knows where it lies
WRITTEN = ("hubclean/audit.json", "hubclean/guard.safetensors", "hubclean/conversion.json")  # below an output folder


@pytest.mark.parametrize(
    "page",
    ["reference/rules.md", "reference/fields.md", "reference/methods.md", "reference/cli.md", "reference/schemas.md"],
)
def test_a_generated_page_is_what_the_code_says(page: str) -> None:
    made = reference.pages()
    assert set(made) == {f"reference/{name}.md" for name in ("rules", "fields", "methods", "cli", "schemas")}
    held = (reference.DOCS / page).read_text(encoding="utf-8")
    assert held == made[page], "run `python -m tools.reference`"


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_has_its_texts_and_an_example_that_fires_it(rule: str) -> None:
    texts = reference.rule_texts()
    assert set(texts) == set(RULES) == set(EXAMPLES)
    assert set(texts[rule]) == {"why", "example", "remedy"}
    assert reference.example(rule), f"the example of {rule} does not make it fire"


def test_every_method_has_a_section() -> None:
    text = (reference.DOCS / "reference" / "methods.md").read_text(encoding="utf-8")
    for kind in KINDS:
        for name in methods(kind):
            assert f"\n### {name}\n" in text


def test_the_api_page_shows_every_public_name_once() -> None:
    text = (reference.DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    shown = [name.strip() for row in re.findall(r"members: \[(.*)\]", text) for name in row.split(",")]
    elsewhere = {name for name in hubclean.__all__ if hasattr(records, name) or hasattr(errors, name)}
    assert sorted(shown) == sorted(set(hubclean.__all__) - elsewhere - {"__version__"} | {"Severity"})


def tracked() -> list[Path]:
    """The text files of the repository; goldens and results hold other people's words."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git checkout")
    return [
        ROOT / line
        for line in done.stdout.splitlines()
        if line.endswith((".py", ".md", ".toml", ".yml", ".yaml", ".sh", "Makefile"))
        if not line.startswith(("benchmarks/results/", "model_cards/examples/", "CHANGELOG.md"))
        if (ROOT / line).is_file()
    ]


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as Python-Markdown makes them from headings."""
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        ascii_ = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_).strip().lower()))
    return found


def test_nothing_refers_to_a_file_that_is_not_there() -> None:
    wrong = []
    for place in tracked():
        if place.is_relative_to(ROOT / "tests") or place.is_relative_to(ROOT / "benchmarks/scan/hostile"):
            continue  # they name files that they make
        text = place.read_text(encoding="utf-8")
        for path, anchor in PATHS.findall(text):
            if path in WRITTEN or "NAME" in path:
                continue
            if not (ROOT / path).exists():
                wrong.append(f"{place.relative_to(ROOT)}: {path}")
            elif anchor and path.endswith(".md") and anchor[1:] not in anchors(ROOT / path):
                wrong.append(f"{place.relative_to(ROOT)}: {path}{anchor}")
        if place.is_relative_to(ROOT / "hubclean"):
            wrong += [f"{place.relative_to(ROOT)}: {found}" for found in BARE.findall(text)]
    assert not wrong, "\n".join(wrong)
