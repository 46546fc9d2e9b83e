"""What leaves the bridge, said once for machines: events, frames, answers, and where each of them is had.

``members.py`` has the words, ``events.py``, ``frames.py`` and ``answers.py`` the things that are said with them;
``openapi.py`` and ``asyncapi.py`` say where they are had. Nothing here makes an event or a frame: tests hold what is
really sent against this room.
"""
