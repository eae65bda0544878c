"""Measurements that several papers share."""
