"""The edge: browsers' WebSocket and SSE connections, fed from Redis."""
