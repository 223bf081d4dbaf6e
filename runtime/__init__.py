"""The host services an agent process asks for (models, recall, policy), and that process."""
