"""The four panels."""
