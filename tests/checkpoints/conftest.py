"""Settings for these tests."""

from hypothesis import settings

# A sync waits for a disk that others use too: how long an example takes says nothing about it.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
