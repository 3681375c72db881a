"""Is it safe to load? The static scan of a repo, and what a passed scan allows. No torch, not even through others.

* ``engine``: runs every scanner over a repo pinned to one commit. Start here.
* ``scanners``: one static check a file: ``registry.methods("scanners")``.
* ``reader``: reads of one scan: every byte at most once, within budgets.
* ``budget``: operations that judging a file may take; every parser counts its own.
* ``sources``: bytes of one file, wherever it lies.
* ``rules``: the rules: ids, severities, what to do; ``weight_rules`` those about weights, ``rule_form`` their form.
* ``pickles``: pickles followed without being loaded.
* ``compression``: compressed streams, in memory.
* ``formats``: other files, read by ourselves.
* ``configs``: what loaders read of configs: one table of fields.
* ``rule_texts``: why a rule is there, an example, what to do: ``rules.toml``.
* ``policy``: what a team lets pass: ``hubclean.toml`` under flags.
* ``document``: what ``scan --json`` prints.
* ``sarif``: SARIF 2.1.0.
* ``cyclonedx``: CycloneDX 1.6.
* ``named_code``: what a target in a config may do.
* ``load_sets``: what will be loaded.
* ``verdict_cache``: verdicts on commits of a Hub that were kept; ``verdict_key`` what they depend on.
* ``refusal``: which files may be loaded, and why the others may not.
* ``downloading``: ``download``: what is needed and was judged.
* ``converting``: ``convert``: pickles to safetensors.
* ``guard``: ``with hubclean.guard():``.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.scanning.converting import convert as convert
    from hubclean.scanning.document import ScanDocument as ScanDocument
    from hubclean.scanning.downloading import download as download
    from hubclean.scanning.engine import scan as scan
    from hubclean.scanning.guard.guard import Guard as Guard
    from hubclean.scanning.reader import Reader as Reader
    from hubclean.scanning.rules import RULES as RULES
    from hubclean.scanning.rules import Problem as Problem
    from hubclean.scanning.scanners import Scanner as Scanner

__all__ = [
    "RULES",
    "Guard",
    "Problem",
    "Reader",
    "ScanDocument",
    "Scanner",
    "convert",
    "download",
    "scan",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        converting="convert",
        document="ScanDocument",
        downloading="download",
        engine="scan",
        guard__guard="Guard",
        reader="Reader",
        rules="RULES Problem",
        scanners="Scanner",
    )
