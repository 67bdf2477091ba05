"""Benchmarks' figures from predictions and truth, sample after sample, each with the protocol it was taken by."""
