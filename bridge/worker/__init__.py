"""The worker: from what the provider pushes to events in the journal, and a mirror of its members.

It acts on the vocabulary of :mod:`bridge.provider` and knows no dialect: what a code means and whether a cursor can be
one is said by values, and what it asks goes through ports that the composition root fills. Beside that it imports the
journal, the events' vocabulary, metrics and supervision.

Begin with :mod:`.worker`, which stands by and leads; :mod:`.leader` is one term and its parts. Pushes come in by
:mod:`.listener`, become calls in :mod:`.translate` and wait in :mod:`.backlog`. Members: :mod:`.directory` says when to
ask, :mod:`.questions` asks, :mod:`.claims` says what an answer claims, :mod:`.registrar` applies it. Counts:
:mod:`.agenda` says what to ask for, :mod:`.reconcile` asks. What is announced of the provider is :mod:`.upstream`.
"""

from __future__ import annotations
