"""A search for arms that beat a reference at equal parameters and equal time."""
