"""Schedulers: local processes and Ray Tune behind one contract."""
