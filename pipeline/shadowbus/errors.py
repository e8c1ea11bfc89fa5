"""Every error says what to do next; its type is that action.

A message is one plain sentence that names what is wrong and what to do about it: the command line prints it as it is.
"""


class ShadowbusError(Exception):
    """The root of everything shadowbus raises on purpose."""


class SettingsError(ShadowbusError):
    """A person has to correct the settings, a flag or a file."""


class BundleError(ShadowbusError):
    """A model bundle cannot be trusted or loaded; a person has to look at it."""


class BrokerError(ShadowbusError):
    """Kafka cannot be reached, started or used as asked."""


class Malformed(ShadowbusError):
    """One record cannot be used: set it aside as a dead letter with this reason, and go on."""


class TooLarge(ShadowbusError):
    """A stage wrote a record that its topic does not take; it would be so again, so a person has to act."""


class Retry(ShadowbusError):
    """Nothing is lost: start again from what is committed, after a pause."""


class Away(Retry):
    """Kafka cannot be reached, or is not ready: wait for it, however long that takes."""


class Fenced(Retry):
    """Another worker owns these partitions now: drop all state and join the group again."""


class StateCorruptError(ShadowbusError):
    """Kept state contradicts itself or its source; it must be rebuilt, never guessed."""
