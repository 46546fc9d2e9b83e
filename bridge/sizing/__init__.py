"""How large the machines must be: what was measured, and what follows from it for a corporation. Pure."""
