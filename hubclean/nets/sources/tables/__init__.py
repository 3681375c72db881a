"""Tables of pictures: rows with a column that holds or names a picture and one that holds its label.

* ``columns``: ``Table``; which column holds the pictures; a table as ``Pictures``. Start here.
* ``label_columns``: of several label columns the one that fits the model.
* ``row_splits``: tables that name a split in a column.
* ``arrow_files``: rows of parquet and arrow files, and of tables of ``datasets``.
* ``arrow_tables``: the same with pictures and labels.
* ``text_tables``: CSV, JSON lines, and ``metadata`` files beside pictures.
* ``file_names``: the pictures that a table names by path, name or id.
* ``webdataset``: tars of ``000.jpg`` beside ``000.cls`` or ``000.json``.
"""
