"""Seeing what an engine does: logs, metrics, traces, the audit log and what runs now, each imported by itself."""
