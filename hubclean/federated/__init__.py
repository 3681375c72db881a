"""Federated cleansing over Flower: many owners of images, one checkpoint, no image sent.

The extra ``hubclean[federated]`` brings Flower. ``questions`` what is asked, answered and refused;
``participants`` an honest client; ``rounds`` asking with a quorum; ``averaging`` federated averaging; ``cleansing`` the
defense over rounds; ``training`` federated training; ``partitions`` one set of images dealt out to simulated clients;
``settings`` the run config. Of these none knows Flower. ``flower_records``, ``client_app`` and ``server_app`` do: they
are the apps that ``flwr run`` starts, see ``flower/pyproject.toml``. ``hostile`` holds clients that attack, with a
client app of their own; nothing else here imports them.
"""
