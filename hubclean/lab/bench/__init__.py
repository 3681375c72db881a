"""The bench: detectors x defenses x attacks x nets x seeds, resumable, results as JSON lines, tables and plots.

* ``run``: ``hubclean bench``: a plan worked through, with tables and plots at the end. Start here.
* ``plans``: what to run, from a TOML file and options.
* ``small_nets``: builds and stores the classifiers.
* ``zoo``: trains and poisons them once.
* ``cells``: works through a plan, a line on disk for every finished cell.
* ``journal``: that line, and which process holds which model.
* ``rows``: what those lines hold.
* ``tables``: the results as Markdown.
* ``plots``: the results as PNG.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.lab.bench.plans import Plan as Plan
    from hubclean.lab.bench.run import run_bench as run_bench

__all__ = [
    "Plan",
    "run_bench",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        plans="Plan",
        run="run_bench",
    )
