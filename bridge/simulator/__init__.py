"""The provider, faithfully simulated: real bytes on a real socket, with every fault that it may have.

It stands outside the house. It imports nothing of the bridge, and only ``dev``, ``simulate`` and tests import it.
"""

from __future__ import annotations

from .account import Account, Action, DirectoryEntry
from .addresses import AddressKind
from .auth_keys import AuthKey, KeyVerdict
from .calls import Call
from .defects import Defect
from .dialect import AuthKeyName, Dialect, Framing, KeyCase, Rules, SecondListener
from .faults import Fault, Faults, Kind
from .groups import Group, GroupStatus
from .mail import Mail, UnreadCount
from .parties import PartyWrite
from .plan import FaultPlan, PlanError
from .serve import serve
from .server import Cut, Simulator
from .traffic import Traffic
from .world import World

__all__ = [
    "Account",
    "Action",
    "AddressKind",
    "AuthKey",
    "AuthKeyName",
    "Call",
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
    "Rules",
    "SecondListener",
    "Simulator",
    "Traffic",
    "UnreadCount",
    "World",
    "serve",
]
