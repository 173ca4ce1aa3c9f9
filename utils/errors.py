"""The one exception that is meant for the user: `cli.run` prints it as a single line and exits with code 2."""


class UserError(ValueError):
    """Something the user gave cannot be used; the message says what was given, what was expected and what to do."""
