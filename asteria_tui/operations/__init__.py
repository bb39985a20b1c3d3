"""What a session does: steps over the rooms below, which emit their facts as they happen."""
