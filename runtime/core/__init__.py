"""The protocol with the agent process, the crisis screen, turn state: values in, values out."""
