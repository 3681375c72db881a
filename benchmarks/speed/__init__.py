"""How fast the methods are, against peers and against their own floor."""
