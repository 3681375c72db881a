"""The bench: detectors x defenses x attacks x nets x seeds, resumable, results as JSON lines, tables and plots.

``plans`` says what to run, ``nets`` builds and stores the classifiers, ``zoo`` trains and poisons them once,
``running`` works through the plan, ``rows`` is what it writes, ``tables`` and ``plots`` show it.
"""
