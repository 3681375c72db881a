"""Nets. ``checkpoint``, ``images`` and ``session`` are used by every test here; ``image_tables`` is tested through
``datasets``, ``site_report`` through ``hubclean site`` in ``tests/cli``.
"""
