"""What the expressions of a chat template may give, without rendering it.

* ``values``: what an expression may give: of the conversation, written out, put together.
* ``calls``: filters, methods and functions.
* ``operators``, ``expressions``: what each expression gives.
* ``statements``: the walk over a template. Start here.
"""
