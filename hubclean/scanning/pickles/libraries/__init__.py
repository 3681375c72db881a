"""Names of libraries of data that lie in pickles beside models.

* ``known``: scikit-learn's estimators (``estimators.json``, written by ``tools/estimator_names.py``), and functions by
  which pandas, NumPy, SciPy and scikit-learn rebuild their own objects.
"""
