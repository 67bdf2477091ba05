"""One problem each: from a batch to model, loss and metrics."""
