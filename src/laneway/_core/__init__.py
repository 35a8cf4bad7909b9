"""Decisions without I/O: no clock, no environment, no disk, no logging."""
