"""Schedulers: local processes and Ray Tune under one contract."""
