"""What operators see: metrics, logs and the admin port; and how ports accept connections.

:mod:`.metrics` declares every metric, :mod:`.labels` what their labels may say, :mod:`.logs` how a log line looks.
:mod:`.admin` serves ``/metrics``, ``/livez`` and ``/readyz``. :mod:`.acceptor` and :mod:`.port` are shared by the
public ports; :mod:`.garbage` keeps Python's collector out of the way. Imports no other room. Begin with
:mod:`.metrics`.
"""

from __future__ import annotations
