"""Downloads with a short time limit and a check of the content."""

import hashlib
import threading
import urllib.request
from collections.abc import Sequence

from replications.errors import ReplicationError

SECONDS_TO_ANSWER = 4.0


class DownloadError(ReplicationError):
    """No mirror delivered the file."""


def fetch(urls: Sequence[str], md5: str) -> bytes:
    """The content at the first of `urls` that answers in time with the right checksum.

    Raises DownloadError, with the problem of each address, if there is none.
    """
    problems = []
    for url in urls:
        try:
            content = _read(url)
        except OSError as error:
            problems.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found == md5:
            return content
        problems.append(f"{url}: expected the MD5 checksum {md5} but got {found} ({len(content)} bytes)")
    raise DownloadError("No mirror delivered the file. " + "; ".join(problems) + ".")


def _read(url: str) -> bytes:
    """Read `url`. Raises OSError if no answer begins in time; the time limit also holds for name resolution."""
    answer: list[bytes | OSError] = []
    begun = threading.Event()

    def work() -> None:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS_TO_ANSWER) as response:
                begun.set()
                answer.append(response.read())
        except Exception as error:  # http.client raises other errors too, and an exception in a thread would be lost
            answer.append(error if isinstance(error, OSError) else OSError(repr(error)))
        begun.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if not begun.wait(SECONDS_TO_ANSWER):
        raise OSError(f"no answer within {SECONDS_TO_ANSWER:g} s")
    thread.join()
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]
