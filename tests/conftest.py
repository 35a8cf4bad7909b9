"""What every test may use. Fixtures live beside the tests that need them; only what all share belongs here."""
