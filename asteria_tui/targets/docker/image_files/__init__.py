"""What goes into the image, beside the packages. The Python files need 3.9 and no package."""
