"""What TorchServe says: lines to records, records to causes, files of any size."""
