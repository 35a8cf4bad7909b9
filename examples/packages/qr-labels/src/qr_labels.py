"""Draws QR codes as SVG with segno, pure Python and CPU-bound: one step per parcel on the interpreter lane."""

import io

import segno  # type: ignore[import-not-found]  # vendored

from laneway import Workflow, task


@task(lane="interpreter", each="parcels", batch=4)
def labels(parcels: dict[str, str]) -> dict[str, object]:
    """The label of one parcel."""
    code = segno.make(f"{parcels['id']};{parcels['to']}", error="m", micro=False)
    drawing = io.BytesIO()
    code.save(drawing, kind="svg", scale=4)
    return {"id": parcels["id"], "version": code.designator, "svg": drawing.getvalue().decode()}


@task
def sheet(labels: list[dict[str, object]]) -> str:
    """All labels on one HTML page."""
    return "<!doctype html><meta charset=utf-8><title>Labels</title>" + "".join(
        str(one["svg"]) for one in labels
    )


flow = Workflow("qr-labels", [labels, sheet])
