"""Streams: threads that each run samples of their own, and never wait for each other in a layer."""


def shared(count: int, width: int) -> int:
    """How many of `count` samples go out over streams that run `width` of them at once.

    The others are run on all threads together: the last round over the streams is worth it where
    it keeps more than half of them busy.
    """
    rest = count % width
    return count - rest if rest * 2 <= width else count
