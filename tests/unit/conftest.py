"""How hypothesis judges time: not at all. A busy machine makes every example slow and is no fault of what is tested."""

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
