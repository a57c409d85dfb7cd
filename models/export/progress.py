"""Says on the standard output what an export is doing, and every twenty seconds that it is still doing it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTED_AT = time.monotonic()
EVERY_SECONDS = 20.0


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED_AT:4.0f} s] {text}", flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Prints `what` at once and, while it lasts, again and again. An error takes it along as a note."""
    ended = threading.Event()

    def remind() -> None:
        while not ended.wait(EVERY_SECONDS):
            say(f"{what}: still at it")

    say(what)
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise
    finally:
        ended.set()
        reminder.join()
