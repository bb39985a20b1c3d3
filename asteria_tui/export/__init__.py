"""What asteria-tui does, as files for other tools."""
