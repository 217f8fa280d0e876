"""Stand-in until H7's shrinking lands."""


def shrunk(search, witness):
    return witness
