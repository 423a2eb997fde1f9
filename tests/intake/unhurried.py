"""Property tests on a busy machine: what is found counts, not how fast."""

from hypothesis import HealthCheck, settings

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
