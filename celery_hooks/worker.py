"""The outputs of a worker or beat process: every line it writes is one of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.utils.log import mlevel
from celery.utils.nodenames import node_format

from celery_hooks import streams
from flask_hardening.core import logs, process, settings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.logs.encoding import to_json
from flask_hardening.core.logs.outputs import File
from flask_hardening.core.settings import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_hooks.installation import Installation
    from flask_hardening.core.logs.pipeline import Pipeline

_DEFAULT_LEVEL = LEVELS["WARNING"]


def install(installation: Installation) -> None:
    """Connect the receivers."""
    config = installation.configuration.section(settings.Logs)
    if not config.enabled:
        return  # with a receiver for setup_logging, Celery would log nothing itself
    worker = WorkerLogs(installation)
    installation.connect(signals.celeryd_init, worker.begin)
    installation.connect(signals.beat_init, worker.set_up)
    if config.stdlib:
        installation.connect(signals.setup_logging, worker.set_up)
    installation.connect(signals.celeryd_after_setup, worker.announce)
    installation.connect(signals.worker_shutting_down, worker.stopping)


class WorkerLogs:
    """The log outputs of a worker or beat process."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._stands = False

    def begin(self, instance: Any, options: Any = None, **_: Any) -> None:  # noqa: ANN401
        """Set up before Celery looks at its user and warns that it is root."""
        if instance.app is self._installation.app:
            given = options or {}
            file = given.get("logfile")
            if file:
                file = node_format(file, instance.hostname)
            self.set_up(given.get("loglevel"), file)

    def set_up(self, loglevel: Any = None, logfile: str | None = None, **_: Any) -> None:  # noqa: ANN401
        """
        Set up our outputs in place of Celery's; runs once, before any fork.

        Args:
            loglevel: That of `--loglevel`.
            logfile: That of `--logfile`.
        """
        installation = self._installation
        config = installation.configuration.section(settings.Logs)
        if self._stands:
            return
        self._stands = True
        owner = f"Celery app {installation.app.main!r}"
        plan = logs.Plan.of(config, development=installation.development)
        level = _named(loglevel)
        if level and config.level is None and logs.active() is None:
            plan = replace(plan, level=level)
        try:
            active = logs.set_up(plan, installation.origin.fields, owner)
            installation.undo_with(lambda: process.release(logs.ROOM, owner))
            if logfile and logfile != config.file:
                installation.undo_with(_write_to(Path(logfile), active.pipeline))
        except ConfigError as error:
            # Celery before 5.6 swallows what a receiver raises and works on, unlogged
            raise SystemExit(f"flask-hardening: {error}") from error
        for message in installation.configuration.ignored:
            logs.emit("WARNING", "setup.suspicious", message, __name__, {})
        conf = installation.app.conf
        if conf.worker_redirect_stdouts:
            level = str(conf.worker_redirect_stdouts_level).upper()
            restore = streams.redirect(
                level if level in LEVELS else "WARNING",
                silence_celery=active.structured,
            )
            installation.undo_with(restore)
            # a worker that restarts itself on SIGHUP must find the streams as they were
            installation.connect(signals.worker_shutdown, _calls(restore))

    def announce(self, instance: Any, **_: Any) -> None:  # noqa: ANN401
        """Say as a line what Celery's banner says, and keep the banner out of JSON."""
        active = logs.active()
        if active is None or instance.app is not self._installation.app:
            return
        instance.quiet = instance.quiet or active.structured
        fields = {
            "hostname": instance.hostname,
            "pool": instance.pool_cls.__module__,
            "concurrency": instance.concurrency,
            "queues": sorted(instance.app.amqp.queues.consume_from),
            "broker": instance.app.connection().as_uri(),
        }
        logs.emit("INFO", "worker.started", "The worker has started.", __name__, fields)

    def stopping(self, sig: Any = None, how: Any = None, **_: Any) -> None:  # noqa: ANN401
        """Say that the worker has been told to stop."""
        fields = {"signal": str(sig or ""), "how": str(how or "").lower()}
        logs.emit("INFO", "worker.stopping", "The worker stops.", __name__, fields)


def _named(loglevel: object) -> str | None:
    """Return the level of `--loglevel`; Celery's default can't be told from a choice."""
    number = mlevel(loglevel) if isinstance(loglevel, (int, str)) else _DEFAULT_LEVEL
    names = {number: name for name, number in LEVELS.items()}
    return None if number == _DEFAULT_LEVEL else names.get(number)


def _write_to(path: Path, pipeline: Pipeline) -> Callable[[], None]:
    """Write each line to the file of `--logfile`, too."""
    try:
        file = File(path)
    except ConfigError as error:
        text = str(error).replace("HARDENING_LOGS_FILE =", "--logfile")
        raise ConfigError(text) from error
    untap = pipeline.tap(lambda line: file.write(to_json(line)))

    def undo() -> None:
        untap()
        file.close()

    return undo


def _calls(call: Callable[[], None]) -> Callable[..., None]:
    return lambda **_: call()
