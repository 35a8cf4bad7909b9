"""Tasks of the celery lane that make and read artifacts."""

from laneway import Artifact, Workflow, artifact, task


@task(lane="celery")
def far(given: Artifact) -> Artifact:
    return artifact(given.read() + b", seen from far")


@task(lane="thread")
def near(far: Artifact) -> int:
    return len(far.read())


@task(lane="celery")
def alone() -> Artifact:
    return artifact(b"made far away")


flow = Workflow("far-artifacts", [far, near])
lone = Workflow("lone-artifacts", [alone])
