"""The click that opens a mail: from a person whom the edge knows to the provider's one-click login."""
