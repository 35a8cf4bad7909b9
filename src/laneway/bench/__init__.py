"""Benchmarks that users run on their own tasks. Workers import this: standard library only.

`lanes` compares the same calls inline and on every lane; `inputs` finds out what to call a task with.
"""

__all__: list[str] = []
