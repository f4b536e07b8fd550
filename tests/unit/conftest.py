"""How many examples Hypothesis tries: the same ones each time in CI, new ones elsewhere."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=_HEALTH, max_examples=100)
settings.register_profile("dev", deadline=None, suppress_health_check=_HEALTH, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")
