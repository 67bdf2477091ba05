"""Pictures to train the detector on."""
