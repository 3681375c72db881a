"""Federated cleansing: a loopback run with TLS, and the table over clients, liars, schemes and stages."""
