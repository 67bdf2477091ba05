"""Natural poses of bodies and hands."""
