"""Commands: parse, call, print, exit code. One file a command; only this package knows click, and only it prints.

* ``main``: the group: every failure is one sentence and exit code 2. Start here.
* ``options``: options that several commands share, how they open a session and print a result.
* ``policy``: what may pass and who loads: options and their file.
* ``progress_bars``: bars on stderr for long work.
* ``scan``: ``hubclean scan``: one target or many, four formats, one exit code.
* ``targets``: targets as they are named.
* ``baseline``: ``hubclean baseline``.
* ``download``: ``hubclean download``.
* ``convert``: ``hubclean convert``.
* ``site``: ``hubclean site``.
* ``clean``: ``hubclean clean``.
* ``push``: ``hubclean push``.
* ``verify``: ``hubclean verify``.
* ``ballots``: ``hubclean rank``, ``tally``, ``feedback``.
* ``rules``: ``hubclean rules``, ``scan --explain``.
* ``methods``: ``hubclean methods``.
* ``bench``: ``hubclean bench``.
* ``demo``: ``hubclean demo``.
* ``hf_register``: ``hubclean hf-register``.
* ``hf_extension``: the files by which ``hf hubclean`` is registered.
* ``text``: what is printed where it is long.

Public is the command line itself; its entry point is ``hubclean.cli.main:main``.
"""
