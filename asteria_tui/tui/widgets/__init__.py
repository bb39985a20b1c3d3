"""What the panels and dialogs are made of."""
