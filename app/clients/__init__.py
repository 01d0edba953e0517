"""Who may ask: clients, their secrets, and how they prove who they are."""
