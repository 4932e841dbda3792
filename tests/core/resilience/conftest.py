"""Work done in a forked child while another thread of its parent holds a lock."""

from __future__ import annotations

import os
import signal
import threading

import pytest


@pytest.fixture
def exit_code_of_child():
    """Return what tells how work ends in a child: 0 if it is true, 2 if not, 1 if it fails."""

    def exit_code(work, lock) -> int:
        held, done = threading.Event(), threading.Event()

        def hold():
            with lock:
                held.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        try:
            return _exit_code_of_child(work)
        finally:
            done.set()
            thread.join()

    return exit_code


def _exit_code_of_child(work) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent's is its runner's
        signal.alarm(10)
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
