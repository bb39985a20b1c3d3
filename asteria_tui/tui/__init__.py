"""The one screen. It holds no logic: actions call the Session, panels show its State."""
