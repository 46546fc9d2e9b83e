"""The provider, simulated: real bytes on a real socket, with every fault that it may have.

It imports nothing of the bridge, so that a wrong belief about the protocol cannot hide in both. Only ``dev``,
``simulate`` and tests import it. Begin with :mod:`.server`, which joins four rooms: ``world`` (what the provider
knows), ``faults`` (what is broken), ``wire`` (bytes and connections) and ``api`` (the endpoints). :mod:`.commands`
changes it from outside, :mod:`.plan` by a timetable.
"""

from __future__ import annotations

from bridge.simulator.api.calls import RecordedCall
from bridge.simulator.faults.defects import Defect
from bridge.simulator.faults.faults import Fault, Faults, Kind
from bridge.simulator.world.account import Account, Action, DirectoryEntry
from bridge.simulator.world.addresses import AddressKind
from bridge.simulator.world.auth_keys import AuthKey, KeyVerdict
from bridge.simulator.world.groups import Group, GroupStatus
from bridge.simulator.world.mail import Mail, UnreadCount
from bridge.simulator.world.parties import PartyWrite
from bridge.simulator.world.traffic import Traffic
from bridge.simulator.world.world import World

from .dialect import AuthKeyName, Dialect, Framing, KeyCase, Rules, SecondListener
from .plan import FaultPlan, PlanError
from .serve import serve
from .server import Cut, Simulator

__all__ = [
    "Account",
    "Action",
    "AddressKind",
    "AuthKey",
    "AuthKeyName",
    "Cut",
    "Defect",
    "Dialect",
    "DirectoryEntry",
    "Fault",
    "FaultPlan",
    "Faults",
    "Framing",
    "Group",
    "GroupStatus",
    "KeyCase",
    "KeyVerdict",
    "Kind",
    "Mail",
    "PartyWrite",
    "PlanError",
    "RecordedCall",
    "Rules",
    "SecondListener",
    "Simulator",
    "Traffic",
    "UnreadCount",
    "World",
    "serve",
]
