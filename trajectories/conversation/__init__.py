"""From the events of a conversation, whatever recorded it, to a trajectory."""
