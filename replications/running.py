"""Replicates papers one after the other. An error in one paper does not stop the next."""

import sys
import traceback
from collections.abc import Callable, Sequence

from replications.errors import Interrupted, ReplicationError
from replications.experiment.session import Session, conclude
from replications.reporting.overview import show_all
from replications.reporting.table import show


def run_all(sessions: Sequence[Session]) -> int:
    """Replicate all papers and show their results; returns the status to exit with."""
    broken = {session.paper.name: error for session in sessions if (error := _run(session))}
    contents = [session.loop.results.content for session in sessions]
    if len(sessions) > 1:
        show_all(contents, broken)
    elif not broken:
        show(contents[0])
    for session in sessions:
        if session.paper.name in broken:
            print(_again(session, broken[session.paper.name]), file=sys.stderr)
    failed = any(claim["verdict"] == "failed" for content in contents for claim in content["claims"])
    return 2 if broken else int(failed)


def _run(session: Session) -> Exception | None:
    """Replicate one paper; returns the error that ended it, or None. Runs that were finished before an error are on disk."""
    try:
        error = _attempt(session.paper.run, session)
        if error and not session.loop.finished:
            return error
        # all runs are finished, so claims can be judged although a figure could not be drawn
        return _attempt(conclude, session) or error
    except KeyboardInterrupt:
        several = session.loop.paper[1] > 1
        raise Interrupted(session.out.parent if several else session.out) from None
    finally:
        print(f"Results, logs and figures are in {session.out}")


def _attempt(step: Callable[[Session], None], session: Session) -> Exception | None:
    """Call `step`; returns its error, or None. An error that the user did not cause is printed with its traceback."""
    try:
        step(session)
    except Exception as error:
        if not isinstance(error, ReplicationError):
            traceback.print_exc()
        return error
    return None


def _again(session: Session, error: Exception) -> str:
    kind = "" if isinstance(error, ReplicationError) else f"{type(error).__name__}: "
    return (
        f"error: {session.paper.name}: {kind}{error}. The finished runs are kept. The same command with "
        f"--out {session.out} continues from them."
    )
