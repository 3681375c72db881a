"""Tokenizers.

* ``sentencepiece``: SentencePiece models.
* ``vocabulary``: long vocabularies in JSON, condensed.
"""
