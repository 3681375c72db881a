"""What files are packed in; compressed streams have a package of their own.

* ``tar``: tar headers, by range.
* ``zip_series``: several zips one behind the other.
"""
