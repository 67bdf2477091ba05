"""Pages and charts for people: one HTML file each, with everything inside, so that they open offline."""
