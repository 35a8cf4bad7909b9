"""Adapters of the Store port: memory, sqlite, postgres. Each owns its SQL, in named files under `sql/`."""
