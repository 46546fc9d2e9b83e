"""Durable state, history and wake-up: the only room that says "redis"."""
