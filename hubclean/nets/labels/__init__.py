"""Names that the images bring, matched with the labels of the model. Torch-free, and nothing is guessed.

* ``matching``: every class to one label, or why not. Start here.
* ``lookup``: a label by name, number or place.
* ``map_files``: the user's own map from class to label, read and written.
* ``spelling``: which label a name may mean: what is offered to the user, and never taken.
"""
