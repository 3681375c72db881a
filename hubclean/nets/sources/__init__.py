"""Pictures and their labels as people keep them, found but not yet decoded; what is left out is counted, never dropped.

* ``opening``: a path, a pattern or a Hub id to ``Pictures``. Start here.
* ``layouts``: which reader takes what lies in a folder, an archive or a repo.
* ``pictures``: ``Request``, ``Pictures``, ``Classes``, and the choice among splits.
* ``drawing``: pictures drawn, decoded, prepared; the line that says what was taken and what was left.
* ``decode``: bytes to one picture, within bounds.
* ``trees``: files by relative path: a folder on this disk.
* ``archives``: the same in zip and tar files, never unpacked.
* ``split_words``: ``train``, ``Test``, ``valid`` in the names of folders and files.
* ``class_folders``: a folder for each class.
* ``folder_layout``: which folders are splits, which classes, which neither.
* ``tables``: columns of pictures and of labels: parquet, CSV, WebDataset.
* ``data_cards``: configs, their files and class names as a ``README.md`` says them.
* ``configs``: the splits of a config.
* ``hub_data``: a data set on a Hub, of which only what is used is fetched.
"""
