"""What TorchServe logs: lines to records, records to causes, files of any size."""
