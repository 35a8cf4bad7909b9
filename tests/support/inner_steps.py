"""Tasks that ask for an inner run where there can be none."""

from laneway import Context, task

__all__ = ["on_interpreter", "on_thread"]


@task(lane="thread")
def on_thread(context: Context) -> None:
    context.run("somewhere:flow")  # type: ignore[unused-coroutine]  # it is refused before there is one


@task(lane="interpreter")
def on_interpreter(context: Context) -> None:
    context.run("somewhere:flow")  # type: ignore[unused-coroutine]
