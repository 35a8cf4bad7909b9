"""The engine: submit, dispatch, leases, queries. The only user of both a store and a lane."""
