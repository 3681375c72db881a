"""The apps that ``flwr run`` starts; ``pyproject.toml`` here is their project.

* ``client_app``: an honest owner of images: ``hubclean.federated.flower.client_app:app``.
* ``server_app``: Start here: cleanses or trains one checkpoint with its clients:
  ``hubclean.federated.flower.server_app:app``.
* ``records``: questions and answers as Flower records, without pickle.
"""
