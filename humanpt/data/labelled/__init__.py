"""Pictures of people and hands with labels: readers by name, one record."""
