"""How gunicorn serves Lucid: `gunicorn -c python:lucid.gunicorn lucid.wsgi`.

Threads wait for the group commit, which takes all that wait along in one
transaction: fewer threads make smaller batches. 32 of them cost 1 MB in all. The
calls that the gateway makes wait for their providers on threads besides, so that
slow providers never hold up receipts; threads are started as they are needed.
"""

import ctypes
import gc
import os

import environ  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from lucid.first_use import environment_file
from lucid.safe_logging import SafeFormatter
from lucid.safe_settings import proxy_networks

M_ARENA_MAX = -8  # malloc.h

# As the settings do, which are read later: threads are to be as many as they say.
if environment_file().exists():
    environ.Env.read_env(environment_file())

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"


class SafeLogger(Logger):  # type: ignore[misc]
    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(SafeFormatter(self.error_fmt, self.datefmt))


logger_class = SafeLogger
workers = int(os.environ.get("LUCID_WORKERS", "2"))
threads = int(os.environ.get("LUCID_THREADS", "32")) + int(
    os.environ.get("LUCID_GATEWAY_CALLS", "200")
)
timeout = 60
graceful_timeout = 20
keepalive = 75
# Where gunicorn notes that a worker is alive; on a disk this can block for seconds.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
control_socket_disable = True
# Whose X-Forwarded-Proto says that a request came by https: a proxy on this machine,
# and those whose X-Forwarded-For the settings believe.
proxies = os.environ.get("LUCID_TRUSTED_PROXIES", "").split(",")
forwarded_allow_ips = ",".join(
    ["127.0.0.1", "::1", *proxy_networks("LUCID_TRUSTED_PROXIES", proxies)]
)


def post_fork(server: object, worker: object) -> None:
    """Let a worker's threads share two heaps of the C library.

    It would give each its own, up to sixteen on two cores: a third of a worker's
    memory after large batches, and no faster under Python's lock.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl has not
    if mallopt:
        mallopt(M_ARENA_MAX, 2)


def post_worker_init(worker: object) -> None:
    """Leave out of collections what a worker has loaded and never lets go of.

    Code, routes and price lists: to go through them took 110 ms, in the midst of one
    request in twenty of those that make many objects.
    """
    gc.collect()
    gc.freeze()
