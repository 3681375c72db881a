"""The functions of ``hubclean``, every argument written out; what they do stands in the packages below.

``repos`` is it safe to load, and what follows: scan, download, convert, guard; ``classifiers`` what a model is and how
it is cleansed: site, locate, wrap, clean; ``evidence`` a cleansed checkpoint published and checked: push, verify;
``policies`` what a call is judged by. All functions are names of ``hubclean`` itself.
"""
