"""The self-test: tries what the bridge needs, piece by piece and as a whole, and says what to do.

A check (:mod:`bridge.doctor.check`) is a value: its name, and a question that answers with findings. Checks run beside
each other and share nothing but :class:`bridge.doctor.means.Means`, so one that breaks costs only itself. What cannot
be asked is *not judged*, which is never the same as healthy.
"""
