"""The worker: from the provider's listen connection to the journal."""
