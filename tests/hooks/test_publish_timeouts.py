"""The time-outs of a publish: set where the app has none, kept where it has, taken back."""

from __future__ import annotations

import pytest
from celery import Celery, signals

import celery_hooks


class Worker:
    """What Celery tells its receivers of a worker that starts."""

    def __init__(self, app):
        self.app = app


@pytest.fixture
def configured():
    """Make a Celery app with the hooks and any configuration; undone at the end."""
    apps = []

    def make(config=None, **conf):
        app = Celery("any", set_as_current=False)
        app.conf.update(conf)
        celery_hooks.install(app, config or {})
        apps.append(app)
        return app

    yield make
    for app in apps:
        celery_hooks.uninstall(app)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
def test_redis_gets_its_time_outs(configured, scheme):
    """Connecting and each answer are bounded, and a publish is tried again once."""
    options = configured(broker_url=f"{scheme}://h/0").conf.broker_transport_options

    assert options["socket_timeout"] == 2.0
    assert options["socket_connect_timeout"] == 2.0
    assert options["max_retries"] == 1


def test_rabbitmq_gets_its_time_outs(configured):
    """Connecting is bounded, and a publish is tried again once."""
    conf = configured(broker_url="amqp://h//").conf

    assert conf.broker_connection_timeout == 2.0
    assert conf.broker_transport_options["max_retries"] == 1


def test_results_in_redis_are_bounded_too(configured):
    """A publish speaks to the result backend as well, which must not hold it either."""
    conf = configured(broker_url="amqp://h//", result_backend="redis://h/1").conf

    assert conf.redis_socket_timeout == 2.0
    assert conf.redis_socket_connect_timeout == 2.0
    assert conf.result_backend_transport_options["retry_policy"]["max_retries"] == 1


def test_a_worker_stays_patient_with_its_results(configured):
    """A worker holds up no request, so it tries to store a result as long as ever."""
    app = configured(
        broker_url="redis://h/0",
        result_backend="redis://h/1",
        result_backend_transport_options={"global_keyprefix": "mine"},
    )
    assert "retry_policy" in app.conf.result_backend_transport_options

    signals.celeryd_init.send(
        sender="here", instance=Worker(app), conf=app.conf, options={}
    )

    assert app.conf.result_backend_transport_options == {"global_keyprefix": "mine"}
    assert app.backend.retry_policy["max_retries"] == 20


def test_the_apps_own_retry_policy_stays(configured):
    """What the app says of storing results is not touched, in a worker or elsewhere."""
    own = {"retry_policy": {"max_retries": 5}}
    app = configured(result_backend="redis://h/1", result_backend_transport_options=own)
    signals.celeryd_init.send(
        sender="here", instance=Worker(app), conf=app.conf, options={}
    )

    assert app.conf.result_backend_transport_options == own


def test_the_seconds_are_a_setting(configured):
    """`HARDENING_TASKS_PUBLISH_TIMEOUT` says how long."""
    app = configured({"HARDENING_TASKS_PUBLISH_TIMEOUT": 0.5}, broker_url="redis://h/0")

    assert app.conf.broker_transport_options["socket_timeout"] == 0.5


def test_what_the_app_says_stays(configured):
    """The app's own options win, and those that are none of our business are kept."""
    conf = configured(
        broker_url="redis://h/0",
        result_backend="redis://h/1",
        broker_transport_options={"socket_timeout": 30, "visibility_timeout": 7200},
        redis_socket_timeout=7.0,
    ).conf

    options = conf.broker_transport_options
    assert options["socket_timeout"] == 30
    assert options["visibility_timeout"] == 7200
    assert conf.redis_socket_timeout == 7.0


def test_other_brokers_are_left_alone(configured):
    """A transport without sockets gets no options that it doesn't know."""
    conf = configured(broker_url="memory://", result_backend="cache+memory://").conf

    assert conf.broker_transport_options == {}


def test_an_app_configured_later_is_bounded_too(configured):
    """The hooks may be installed before the configuration is read."""
    app = Celery("late", set_as_current=False)
    celery_hooks.install(app)
    try:
        app.config_from_object({"broker_url": "redis://h/0"})
        assert app.conf.broker_transport_options["socket_timeout"] == 2.0
    finally:
        celery_hooks.uninstall(app)


def test_uninstall_takes_them_back(configured):
    """The configuration is as it was, the app's own dictionary untouched."""
    own = {"visibility_timeout": 7200}
    app = configured(
        broker_url="redis://h/0", result_backend="redis://h/1", broker_transport_options=own
    )
    celery_hooks.uninstall(app)

    assert app.conf.broker_transport_options == own == {"visibility_timeout": 7200}
    assert app.conf.result_backend_transport_options == {}
    assert app.conf.redis_socket_timeout == 120.0
    assert app.conf.redis_socket_connect_timeout is None
