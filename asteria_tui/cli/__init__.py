"""The commands: parse, ask a Session, render its events."""
