"""The one error a user can cause."""


class InputError(ValueError):
    """Bad input from outside: a file, a table, a configuration.

    The message is one line that names the thing, the field and the remedy. The command line prints it and exits with
    status 2; every other exception is a defect of ours and keeps its traceback.
    """
