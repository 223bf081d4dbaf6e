"""What the agent thinks and acts with, wired: models, tools, permissions, memory, jobs, skins."""
