"""What a run found, for people: the result file, the page, the tables on a terminal."""
