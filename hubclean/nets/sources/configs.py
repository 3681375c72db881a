"""The splits of one config of a data set, as its card lists them, else as its folders and files are called."""

from __future__ import annotations

from dataclasses import replace

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources import layouts
from hubclean.nets.sources.data_cards import Config, DataCard, matching, pick_config
from hubclean.nets.sources.pictures import Offer, Pictures, Request, choose
from hubclean.nets.sources.split_words import split_word
from hubclean.nets.sources.tables import arrow_tables
from hubclean.nets.sources.tables.columns import listed
from hubclean.nets.sources.trees import Only, Tree, suffix


def card_offers(tree: Tree, card: DataCard, wanted: str | None, source: str, request: Request) -> list[Offer]:
    """The splits of the config ``wanted``, or of the default one.

    Args:
        source: what the user named, without the config.

    Raises:
        DataError: there is no such config, or several and none is the default, or its files are not there.
    """
    config = pick_config(card, wanted, source)
    if config is None or not (config.files or config.folder):
        part = _folder_of(tree, wanted, source, card)
        return layouts.offers(part, request, card, wanted or "default")
    if config.files:
        return _listed_files(tree, config, card, request, source)
    return layouts.offers(Only(tree, tree.paths, config.folder, source), request, card, config.name)


def _folder_of(tree: Tree, wanted: str | None, source: str, card: DataCard) -> Tree:
    """The whole repo, or of one whose card names no files the folder of a config."""
    named = [config.name for config in card.configs]
    if wanted is not None and wanted in (*named, "default"):
        return tree
    tops = sorted(
        {path.split("/")[0] for path in tree.paths if path.count("/") and suffix(path) in arrow_tables.ARROWS}
    )
    configs = [top for top in tops if not split_word(top)]
    if not tree.remote and wanted is None:
        return tree
    if wanted is not None:
        if any(path.startswith(f"{wanted}/") for path in tree.paths):
            return Only(tree, tree.paths, wanted, source)
        raise DataError(
            f"{source!r}: there is no config {printable(wanted)!r}; there are: {listed(named or configs) or 'none'}"
        )
    if len(configs) > 1:
        raise DataError(f"{source!r} has {len(configs)} configs: {listed(configs)}; name one: {source}:{configs[0]}")
    return tree


def _listed_files(tree: Tree, config: Config, card: DataCard, request: Request, source: str) -> list[Offer]:
    """The splits whose files the card lists."""
    base = config.folder.strip("/") + "/" if config.folder.strip("/") else ""
    made = []
    for split, patterns in config.files.items():
        found = sorted({path for pattern in patterns for path in matching(base + pattern, tree.paths)})
        if not found:
            continue
        part = Only(tree, found, name=source)
        if not split:
            return layouts.offers(part, request, card, config.name)
        made.append(Offer(split, _Opened(part, request, card, config.name, split)))
    if not made:
        raise DataError(f"the card of {source!r} names files for {printable(config.name)!r} that are not there")
    return made


class _Opened:
    """One split of a config, opened when it is chosen."""

    def __init__(self, tree: Tree, request: Request, card: DataCard, config: str, split: str) -> None:
        self._tree, self._request, self._card = tree, replace(request, split=None, labelled=False), card
        self._config, self._split = config, split

    def __call__(self) -> Pictures:
        found = layouts.offers(self._tree, self._request, self._card, self._config)
        return replace(choose(found, self._request, self._tree.name), split=self._split)
