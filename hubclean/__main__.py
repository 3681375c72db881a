"""``python -m hubclean``."""

from hubclean.cli import main

main()
