"""``python -m hubclean``."""

from hubclean.cli.main import main

main()
