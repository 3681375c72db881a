"""A net from a stranger's config, within bounds, with the picture's own resize. (Git skips folders named build.)

* ``classifier``: builds and wraps it: pixels in [0, 1] in, logits out. Start here.
* ``transformers_net``: a classifier of transformers, its weights through the library's renaming.
* ``configs``: config files as plain JSON, checked before any library reads them.
* ``bounds``: how much, how long, how loud, offline.
* ``preprocessing``: resize, crop and normalisation as the model's own library does them.
* ``plain``: a folder as its library alone loads it.
* ``processors``: image processors of transformers; what is taken where a repo has none.
* ``image_patches``: images as patches.
* ``adapters``: what a recorded forward cannot know, from ``hooks/*.toml``.
"""
