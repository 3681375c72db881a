"""Fixtures of the scan, made by the real libraries; each file says which venv it needs."""
