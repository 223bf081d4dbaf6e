"""The node among nodes: manifest and members, mirrors, witnesses, the bus."""
