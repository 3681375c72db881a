"""The functions of ``hubclean``, every argument written out; what they do stands in the packages below.

``repos`` is it safe to load, and what follows: scan, download, convert, guard, push; ``classifiers`` what a model is
and how it is cleansed: site, locate, wrap, clean; ``evidence``
is it what it says: verify. All of them are names of ``hubclean`` itself.
"""
