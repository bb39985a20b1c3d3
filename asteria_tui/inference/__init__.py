"""What we send: payloads and saved samples."""
