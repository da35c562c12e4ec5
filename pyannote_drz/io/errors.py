"""What is told, in one sentence, to whoever brought something that cannot be used."""


class InputError(ValueError):
    """What was brought cannot be used; the message says what, with the value that is wrong.

    Commands print it as one line. Everything that reads what people bring raises this, or an
    `OSError` that names the path, and nothing else.
    """


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks; its kind, too, where it is not for people."""
    words = " ".join(str(error).split()).encode("utf-8", "backslashreplace").decode()
    if isinstance(error, (ValueError, OSError)) and words:
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
