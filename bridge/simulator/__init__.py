"""The provider, faithfully simulated: real bytes on a real socket, with every fault that it may have.

It stands outside the house. It imports nothing of the bridge, and only ``dev``, ``simulate`` and tests import it.
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
