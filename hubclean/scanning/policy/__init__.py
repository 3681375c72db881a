"""What a team lets pass: settings in ``hubclean.toml``, under flags, for each target, and where each value came from.

* ``effective``: the policy of one target. Start here.
* ``settings``: ``hubclean.toml`` or ``[tool.hubclean]``, read strictly.
* ``baseline``: findings that were accepted, void as soon as their file changes; ``contents`` by what that is seen.
* ``search``: the settings that hold where somebody stands, and never those of the target itself.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.scanning.policy.baseline import Baseline as Baseline
    from hubclean.scanning.policy.baseline import read_baseline as read_baseline
    from hubclean.scanning.policy.effective import Allowance as Allowance
    from hubclean.scanning.policy.effective import Policy as Policy
    from hubclean.scanning.policy.effective import Wishes as Wishes
    from hubclean.scanning.policy.effective import effective as effective
    from hubclean.scanning.policy.search import Search as Search
    from hubclean.scanning.policy.settings import Settings as Settings
    from hubclean.scanning.policy.settings import read_settings as read_settings

__all__ = [
    "Allowance",
    "Baseline",
    "Policy",
    "Search",
    "Settings",
    "Wishes",
    "effective",
    "read_baseline",
    "read_settings",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        baseline="Baseline read_baseline",
        effective="Allowance Policy Wishes effective",
        search="Search",
        settings="Settings read_settings",
    )
