"""What the name of a trial says: `<live model>~<shadow>@<version>`."""


def shadow_of(trial: str) -> str:
    """The shadow of a trial.

    >>> shadow_of("champion@3~challenger@4")
    'challenger'
    """
    return trial.partition("~")[2].partition("@")[0]
