"""Which file of the project each member of an archive came from: what leads a worker's frames back to the source."""

from __future__ import annotations

import contextlib

from asteria_tui.archive.sources import collect
from asteria_tui.config import Project
from asteria_tui.errors import AsteriaError
from asteria_tui.logs.cause import SourceMap


def source_map(project: Project) -> SourceMap:
    """For every model that is packaged from sources."""
    members = {}
    for name, model in project.settings.models.items():
        # What can't be collected can't be packaged either; that is said where it matters.
        with contextlib.suppress(AsteriaError):
            sources = collect(project, name, model)
            members[name] = {member: project.relative(path) for member, path in sources.members}
    return SourceMap(members=members, root=str(project.root))
