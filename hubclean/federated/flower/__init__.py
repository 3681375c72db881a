"""federated.flower."""
